"""Chapter 01, core concepts: what stands in for its exercises."""
