"""What stands in for exercises of this chapter."""
