"""Chapter 01, core concepts: the trusted halves."""
