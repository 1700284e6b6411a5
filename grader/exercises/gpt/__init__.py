"""Chapter 03, BERT: the trusted halves."""
