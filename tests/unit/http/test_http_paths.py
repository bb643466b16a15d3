"""Paths: templates of the rules, and what a path that was sent leads to."""

import pytest

from libs.common.errors import InvalidArgumentError
from libs.http.template import PathTree, decoded, parse_template


def tree(*paths: str) -> PathTree[str]:
    made: PathTree[str] = PathTree()
    for path in paths:
        made.add("GET", parse_template(path), path)
    return made


TREE = tree(
    "/v1/farmers",
    "/v1/farmers/{farmer_id}",
    "/v1/farmers/{farmer_id}:suspend",
    "/v1/farmers/{farmer_id}/balance",
    "/v1/blocks/{index}",
    "/v1/blocks:watch",
    "/v1/blocks/latest",
)


@pytest.mark.parametrize(
    ("path", "target", "values"),
    [
        ("/v1/farmers", "/v1/farmers", ()),
        ("/v1/farmers/7", "/v1/farmers/{farmer_id}", ("7",)),
        ("/v1/farmers/a%2Fb", "/v1/farmers/{farmer_id}", ("a%2Fb",)),
        ("/v1/farmers/7:suspend", "/v1/farmers/{farmer_id}:suspend", ("7",)),
        # What is no verb belongs to the value.
        ("/v1/farmers/7:eat", "/v1/farmers/{farmer_id}", ("7:eat",)),
        ("/v1/farmers/7/balance", "/v1/farmers/{farmer_id}/balance", ("7",)),
        ("/v1/blocks:watch", "/v1/blocks:watch", ()),
        ("/v1/blocks/latest", "/v1/blocks/latest", ()),
        ("/v1/blocks/7", "/v1/blocks/{index}", ("7",)),
    ],
)
def test_a_path_leads_to_its_template(path: str, target: str, values: tuple[str, ...]) -> None:
    found = TREE.find(path)
    assert found is not None
    assert (found.by_method["GET"], found.raw_values) == (target, values)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "v1/farmers", "/v1", "/v1/farmers/", "/v1/farmers//balance", "//v1/farmers"),
        *("/v1/farmers:watch", "/v1/Farmers", "/v1/farmers/7/balance/x", "/v1/blocks:"),
    ],
)
def test_other_paths_lead_nowhere(path: str) -> None:
    assert TREE.find(path) is None


@pytest.mark.parametrize(
    "text",
    [
        *("v1/farmers", "/v1/{farmer_id", "/v1/{a.b}", "/v1/{name=a/*}", "/v1/**", "/v1//x"),
        *("/v1/x:", "/v1/x:a:b", "/v1/{a}{b}", "/v1/ä"),
    ],
)
def test_a_template_that_cannot_be_served_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="/"):
        parse_template(text)


def test_a_path_is_served_once() -> None:
    made = tree("/v1/farmers/{farmer_id}")
    with pytest.raises(ValueError, match="served twice"):
        made.add("GET", parse_template("/v1/farmers/{other_id}"), "x")
    made.add("PATCH", parse_template("/v1/farmers/{farmer_id}"), "x")
    found = made.find("/v1/farmers/1")
    assert found is not None
    assert set(found.by_method) == {"GET", "PATCH"}


def test_escapes_are_decoded_or_named() -> None:
    assert decoded("farmerId", "a%2Fb%C3%A4") == "a/bä"
    for raw in ("%", "%4", "%zz", "%ff", "%C3"):
        with pytest.raises(InvalidArgumentError) as caught:
            decoded("farmerId", raw)
        assert caught.value.violations[0].field == "farmerId"
