"""What each route does: plain functions ``(gateway, request, **path) -> Response``."""
