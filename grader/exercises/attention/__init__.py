"""Chapter 02, attention: the trusted halves."""
