"""Chapter 05, distributed training: the trusted halves."""
