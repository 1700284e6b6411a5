"""A penalty for repeats: Keskar et al. 2019, section 4.1, for logits of either sign; and where a text stops.

penalised[v] = logits[v] / penalty where logits[v] > 0, logits[v] penalty where it is below, for every v in ids. (The
paper divides all, for its scores are positive.)
"""

import torch

from grader.contract import Trusted


def penalise_reference(logits, ids, penalty):
    penalised = logits.clone()
    for row, seen in enumerate(ids.tolist()):
        for token in set(seen):
            z = logits[row, token]
            penalised[row, token] = z / penalty if z > 0 else z * penalty
    return penalised


def stop_reference(ids, stops):
    for start in range(len(ids)):
        if any(ids[start : start + len(stop)] == stop for stop in stops):
            return start
    return len(ids)


TRUSTED = Trusted((penalise_reference, stop_reference), budget="two functions, each with a handful of slips")
wrong_penalty, wrong_stop = TRUSTED.one_by_one()


def given_penalise(logits, ids, penalty):
    logits = logits.clone()
    for row, seen in zip(logits, ids.tolist(), strict=True):
        for token in seen:
            row[token] /= penalty
    return logits


def given_stop_at(ids, stops):
    for stop in stops:
        for start in range(len(ids)):
            if ids[start : start + len(stop)] == stop:
                return start + len(stop)
    return len(ids)


TRUSTED.add_mistake(
    "as_given",
    "This is the code as it was given. What becomes of a logit of -2, and of a token that stands there twice? And is "
    "the stop that is listed first the one that begins first?",
    given_penalise,
    given_stop_at,
)


TRUSTED.add_mistake(
    "penalise_as_given",
    "`penalise` is the code as it was given: -2 over a penalty of 2 is -1, which is *more* likely, and a token that "
    "stands there twice is divided twice.",
    given_penalise,
    stop_reference,
)


def each_once(logits, ids, change):
    """The logits with `change` in the place of those of the tokens in ids."""
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, True)
    return torch.where(seen, change(logits), logits)


def signed(logits, penalty):
    return torch.where(logits > 0, logits / penalty, logits * penalty)


@wrong_penalty(
    "Negative logits are divided: -2 becomes -1 and the token *more* likely. Positive ones are divided, negative ones "
    "multiplied."
)
def negative_divided(logits, ids, penalty):
    return each_once(logits, ids, lambda z: z / penalty)


@wrong_penalty("A token is punished once for each place where it stands: once is enough, however often it comes.")
def once_per_repeat(logits, ids, penalty):
    penalised = logits.clone()
    for row, seen in zip(penalised, ids.tolist(), strict=True):
        for token in seen:
            row[token] = signed(row[token], penalty)
    return penalised


@wrong_penalty("It is the other way round: positive logits are multiplied and negative ones divided, which rewards.")
def inverted(logits, ids, penalty):
    return each_once(logits, ids, lambda z: signed(z, 1 / penalty))


@wrong_penalty("All seen logits are multiplied: a positive one grows. Positive ones are divided by the penalty.")
def always_multiplied(logits, ids, penalty):
    return each_once(logits, ids, lambda z: z * penalty)


@wrong_penalty(
    "The smaller one of z / penalty and z penalty is taken, whichever sign z has: with a penalty below 1 seen tokens "
    "are to become more likely."
)
def smaller_of_both(logits, ids, penalty):
    return each_once(logits, ids, lambda z: torch.minimum(z / penalty, z * penalty))


@wrong_penalty("The penalty is subtracted. This one is a factor: divide positive logits by it, multiply negative ones.")
def subtracted(logits, ids, penalty):
    return each_once(logits, ids, lambda z: z - penalty)


@wrong_penalty("Each row is punished for the tokens of all rows: the texts of a batch know nothing of each other.")
def tokens_of_all_rows(logits, ids, penalty):
    return each_once(logits, ids.flatten().expand(len(ids), -1), lambda z: signed(z, penalty))


@wrong_penalty("Only the last token is punished: every token of `ids` is, those of the prompt included.")
def last_token_alone(logits, ids, penalty):
    return each_once(logits, ids[:, -1:], lambda z: signed(z, penalty))


@wrong_penalty(
    "The penalty acts on logarithms of probabilities, all of them negative. It is made for the logits as they come."
)
def on_log_probabilities(logits, ids, penalty):
    return each_once(logits.log_softmax(-1), ids, lambda z: signed(z, penalty))


@wrong_penalty("All tokens are punished: leave those alone that are not in `ids`.")
def all_tokens(logits, ids, penalty):
    return signed(logits, penalty)


@wrong_stop("The stop itself is kept: what is kept ends before it begins.")
def keeps_the_stop(ids, stops):
    at = stop_reference(ids, stops)
    return at + next((len(s) for s in stops if s and ids[at : at + len(s)] == s), 0)


@wrong_stop(
    "The first stop of the list that is found decides. It is the one that *begins* first, wherever it is listed."
)
def first_in_the_list(ids, stops):
    return next((at for stop in stops if (at := stop_reference(ids, [stop])) < len(ids)), len(ids))


@wrong_stop("The stop that ends first decides, expected the one that begins first.")
def ends_first(ids, stops):
    found = ((end, len(stop)) for end in range(1, len(ids) + 1) for stop in stops if ids[:end][-len(stop) :] == stop)
    return next((end - n for end, n in found), len(ids))


@wrong_stop("The last place at which a stop begins is taken, expected the first.")
def last_place(ids, stops):
    starts = [i for i in range(len(ids)) for stop in stops if ids[i : i + len(stop)] == stop]
    return max(starts, default=len(ids))


@wrong_stop("A stop is only found at the very end of the text: it may begin anywhere.")
def at_the_end_alone(ids, stops):
    return next((len(ids) - len(stop) for stop in stops if ids[-len(stop) :] == stop), len(ids))


@wrong_stop("Any single id of a stop ends the text: all ids of the stop have to follow each other.")
def any_id_of_a_stop(ids, stops):
    single = {token for stop in stops for token in stop}
    return next((i for i, token in enumerate(ids) if token in single), len(ids))


@wrong_stop("The first id of a stop ends the text alone: all ids of the stop have to follow each other.")
def first_id_alone(ids, stops):
    return next((i for i, token in enumerate(ids) if any(token == stop[0] for stop in stops)), len(ids))


@wrong_stop(
    "The beginning of a stop at the end of the text counts as the stop: zip ends with the shorter one. Compare "
    "`ids[i : i + len(stop)]` with all of it."
)
def broken_off(ids, stops):
    for i in range(len(ids)):
        if any(all(a == b for a, b in zip(ids[i:], stop, strict=False)) for stop in stops):
            return i
    return len(ids)


@wrong_stop("The ids are compared as text, where 2, 31 is found within 12, 31. Compare lists of ids.")
def as_text(ids, stops):
    text = " ".join(map(str, ids))
    places = [at for stop in stops if (at := text.find(" ".join(map(str, stop)))) >= 0]
    return len(text[: min(places)].split()) if places else len(ids)


@wrong_stop(
    "Where an id does not fit the search goes on behind it, although a stop may begin with this id: in 1, 1, 2 the "
    "stop 1, 2 begins at the second place."
)
def begins_anew_behind(ids, stops):
    found = [len(ids)]
    for stop in stops:
        matched = 0
        for i, token in enumerate(ids):
            matched = matched + 1 if token == stop[matched] else 0
            if matched == len(stop):
                found.append(i + 1 - matched)
                break
    return min(found)


@wrong_stop("A stop is looked for at one place alone, the first that holds its first id: it may begin at a later one.")
def first_place_alone(ids, stops):
    places = [ids.index(stop[0]) for stop in stops if stop[0] in ids]
    return min((at for at in places if any(ids[at : at + len(stop)] == stop for stop in stops)), default=len(ids))


@wrong_stop("Where no stop begins the whole text is kept, all len(ids) of it.")
def nothing_found(ids, stops):
    at = stop_reference(ids, stops)
    return at if at < len(ids) else -1


def by_scatter(logits, ids, penalty):
    values = logits.gather(1, ids)
    return logits.scatter(1, ids, values * penalty ** -values.sign())


def by_letters(ids, stops):
    """The ids as letters of a string, which Python can search."""
    text = "".join(map(chr, ids))
    return min([at for stop in stops if (at := text.find("".join(map(chr, stop)))) >= 0], default=len(text))


def by_a_factor(logits, ids, penalty):
    """A factor for each token of the vocabulary, 1 for those that were not seen."""
    seen = torch.stack([torch.bincount(row, minlength=logits.shape[1]) > 0 for row in ids])
    factors = torch.where(logits < 0, float(penalty), 1 / penalty).to(logits.dtype)
    return logits * factors.where(seen, 1.0)


def by_growing(ids, stops):
    """Token by token as they would come, with all that may have begun kept in mind."""
    starts, begun = [], []
    for i, token in enumerate(ids):
        begun += [(i, stop) for stop in stops]
        begun = [(start, stop) for start, stop in begun if stop[i - start] == token]
        starts += [start for start, stop in begun if i - start + 1 == len(stop)]
        begun = [(start, stop) for start, stop in begun if i - start + 1 < len(stop)]
    return min(starts, default=len(ids))


TRUSTED.add_alternative("by_scatter", by_scatter, by_letters)
TRUSTED.add_alternative("by_a_factor", by_a_factor, by_growing)
