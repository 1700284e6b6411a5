"""A notebook as a file that somebody else wrote: how large it may be, and how it is read."""
