"""What learning a vocabulary needs besides the rule that chooses the next pair."""


def join(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """The pieces with each `pair` as one, from the left: join(["b", "o", "o"], ("b", "o")) is ["bo", "o"]."""
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
