"""Chapter 05, distributed training: what stands in for its exercises."""
