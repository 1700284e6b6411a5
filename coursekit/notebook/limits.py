"""How large a notebook may be that is handed in: told before, and held by whoever grades."""

FILE = 40 << 20  # bytes of the file; its outputs count here and nowhere else
SOURCES = 10 << 20  # bytes without outputs: what the learner wrote, and pasted pictures
CELLS = 2_000
CHARACTERS = 4_000_000  # of all cells together
PROSE = 120_000  # characters of Markdown that are shown
PICTURE = 3 << 20  # bytes of one pasted picture
PICTURES = 6 << 20  # bytes of all of them
PIXELS = 40_000_000  # of one picture
