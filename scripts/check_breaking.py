"""The comparison of protos/ with the last released ones, for breaking changes (buf breaking).

The base is the commit in $PROTO_BASE, else the latest tag, else the main branch (its commit before
this one when we are on it). Without any base there is nothing to break: the script says so and
passes.
"""

import io
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Files of the base that buf needs.
PATHS = ("protos", "buf.yaml")


def git(*arguments: str) -> str | None:
    """Return what a git command prints; None when it fails."""
    done = subprocess.run(  # noqa: S603  (fixed program)
        ["git", *arguments],  # noqa: S607  (git of the PATH is meant)
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def candidates() -> list[str]:
    """Return references to compare with, best first; they need not exist."""
    asked = os.environ.get("PROTO_BASE")
    if asked:
        return [asked]
    tags = (git("tag", "--sort=-version:refname", "--merged", "HEAD") or "").split()
    return [*tags[:1], *(_before(name) for name in ("origin/main", "main"))]


def _before(branch: str) -> str:
    """Return a branch, or its commit before when the branch is where we are."""
    here = git("rev-parse", "HEAD")
    return f"{branch}^" if here and here == git("rev-parse", "--verify", branch) else branch


def find_base() -> str | None:
    """Return the first candidate that exists and has protos."""
    for reference in candidates():
        commit = git("rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}")
        if commit and git("ls-tree", "-r", "--name-only", commit, "--", "protos"):
            return reference
    return None


def why_no_base() -> str:
    """Return one sentence for people; never pass silently."""
    if git("rev-parse", "--git-dir") is None:
        return "not a git repository"
    if git("rev-parse", "--is-shallow-repository") == "true":
        return "this clone is shallow and has no earlier commit; set PROTO_BASE or fetch more"
    return "no tag and no earlier commit on main has protos"


def extract(reference: str, folder: Path) -> None:
    """Write the base's protos; an archive works in shallow clones and worktrees, too."""
    present = [path for path in PATHS if git("ls-tree", "--name-only", reference, "--", path)]
    archive = subprocess.run(  # noqa: S603  (a commit that rev-parse has verified)
        ["git", "archive", "--format=tar", reference, *present],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        # Python before 3.11.4 has no filters; the archive is git's own.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder)  # noqa: S202


def main() -> int:
    """Run the command; exit status as buf's."""
    base = find_base()
    if base is None:
        if os.environ.get("PROTO_BASE"):
            sys.stderr.write("breaking: $PROTO_BASE is not a commit with protos\n")
            return 1
        sys.stdout.write(f"breaking: nothing to compare with: {why_no_base()}\n")
        return 0
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    with tempfile.TemporaryDirectory() as folder:
        extract(base, Path(folder))
        command = [str(buf), "breaking", "--against", folder]
        done = subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603  (our own)
    verdict = "no breaking change since" if done.returncode == 0 else "breaking change since"
    sys.stdout.write(f"breaking: {verdict} {base}\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
