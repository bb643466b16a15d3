"""The reference of an application: its OpenAPI document, and a page that shows the document."""
