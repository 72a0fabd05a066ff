"""The services: each method decodes, calls and encodes; what it calls is elsewhere."""
