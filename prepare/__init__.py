"""Scripts that make what the course carries: each writes one file of coursekit/embedded, the same bytes every time."""
