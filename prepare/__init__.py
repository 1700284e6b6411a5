"""Each script writes one file of coursekit/generated/embedded, the same bytes every time."""
