"""The pages: what a person sees of the pool in a browser (docs/pages.md).

Everything is rendered here and is whole without script; nothing comes from another origin, and
nothing but signing in and out changes anything.
"""
