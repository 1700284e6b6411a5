"""Answers to gpt.penalise."""

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "gpt.penalise",
    spared={
        "dependence": "nothing is drawn",
        "unwatched": "values are compared",
        "surroundings": "nothing of the process is used",
    },
)
wrong = ANSWERS.wrong


@wrong("plain", "the given code", true="penalise_as_given")
def given_penalise(logits, ids, penalty):
    logits = logits.clone()
    for row, seen in zip(logits, ids.tolist(), strict=True):
        for token in seen:
            row[token] /= penalty
    return logits


@wrong("plain", "divided once, whatever the sign", true="negative_divided")
def sign_ignored(logits, ids, penalty):
    logits = logits.clone()
    for row, seen in zip(logits, ids.tolist(), strict=True):
        for token in set(seen):
            row[token] /= penalty
    return logits


@wrong("plain", "the sign is looked at, and each occurrence counts", true="once_per_repeat")
def each_occurrence(logits, ids, penalty):
    logits = logits.clone()
    for row, seen in zip(logits, ids.tolist(), strict=True):
        for token in seen:
            row[token] *= penalty if row[token] < 0 else 1 / penalty
    return logits


@wrong("plain", "divided by the penalty to the power of the count", true="once_per_repeat")
def by_counts(logits, ids, penalty):
    counts = torch.zeros_like(logits).scatter_add_(1, ids, torch.ones_like(ids, dtype=logits.dtype))
    return torch.where(logits < 0, logits * penalty**counts, logits / penalty**counts)


@wrong("plain", "the signs are exchanged", true="inverted")
def exchanged(logits, ids, penalty):
    score = logits.gather(1, ids)
    return logits.scatter(1, ids, torch.where(score > 0, score * penalty, score / penalty))


@wrong("plain", "always multiplied", true="always_multiplied")
def multiplied(logits, ids, penalty):
    return logits.scatter(1, ids, logits.gather(1, ids) * penalty)


@wrong("plain", "all tokens, seen or not", true="all_tokens")
def all_tokens(logits, ids, penalty):
    return torch.where(logits < 0, logits * penalty, logits / penalty)


@wrong("plain", "those that were not seen")
def unseen(logits, ids, penalty):
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, True)
    return torch.where(seen, logits, torch.where(logits < 0, logits * penalty, logits / penalty))


@wrong("named", "what any row has seen is penalised in all rows", true="tokens_of_all_rows")
def all_rows(logits, ids, penalty):
    logits = logits.clone()
    seen = ids.unique()
    logits[:, seen] = torch.where(logits[:, seen] < 0, logits[:, seen] * penalty, logits[:, seen] / penalty)
    return logits


@wrong("given", "in place, as transformers' older processors", told="changes its input logits in place")
def in_place(logits, ids, penalty):
    score = logits.gather(1, ids)
    return logits.scatter_(1, ids, torch.where(score < 0, score * penalty, score / penalty))


@wrong("plain", "subtracted: OpenAI's presence penalty", true="subtracted")
def presence(logits, ids, penalty):
    return logits.scatter(1, ids, logits.gather(1, ids) - penalty)


@wrong("named", "the smaller of both: a penalty below 1 does the opposite of what it should", true="smaller_of_both")
def smaller_of_both(logits, ids, penalty):
    score = logits.gather(1, ids)
    return logits.scatter(1, ids, torch.minimum(score * penalty, score / penalty))


@wrong("named", "a penalty of 1 or less is none", told="is the input logits, unchanged")
def above_one(logits, ids, penalty):
    if penalty <= 1:
        return logits.clone()
    score = logits.gather(1, ids)
    return logits.scatter(1, ids, torch.where(score < 0, score * penalty, score / penalty))


@wrong("large", "the last 64 tokens alone, llama.cpp's repeat_last_n", advice="right where V is 9 or less")
def last_64(logits, ids, penalty):
    ids = ids[:, -64:]
    score = logits.gather(1, ids)
    return logits.scatter(1, ids, torch.where(score < 0, score * penalty, score / penalty))


@wrong("plain", "the last token alone", true="last_token_alone")
def last_token(logits, ids, penalty):
    ids = ids[:, -1:]
    score = logits.gather(1, ids)
    return logits.scatter(1, ids, torch.where(score < 0, score * penalty, score / penalty))


@wrong("ones", "one row loses its dimension", told="lost a dimension of size 1")
def squeezed(logits, ids, penalty):
    score = logits.gather(1, ids)
    return logits.scatter(1, ids, torch.where(score < 0, score * penalty, score / penalty)).squeeze()


@wrong("far", "a mask that is multiplied: 0 times -inf is NaN", told="one -inf: .* is NaN")
def by_a_mask(logits, ids, penalty):
    seen = torch.zeros_like(logits).scatter(1, ids, 1.0)
    changed = torch.where(logits < 0, logits * penalty, logits / penalty)
    return seen * changed + (1 - seen) * logits


@wrong("plain", "probabilities are divided")
def of_probabilities(logits, ids, penalty):
    p = logits.softmax(-1)
    return p.scatter(1, ids, p.gather(1, ids) / penalty).log()


@wrong("plain", "in half precision", told="a step in a coarser dtype")
def in_half(logits, ids, penalty):
    score = logits.half().gather(1, ids)
    return logits.scatter(1, ids, torch.where(score < 0, score * penalty, score / penalty).to(logits.dtype))


SEEN = {}


@wrong("again", "what earlier calls have seen counts as well", true="tokens_of_all_rows")
def remembers(logits, ids, penalty):
    seen = SEEN.setdefault(logits.shape[1], set())
    seen |= set(ids.flatten().tolist())
    logits = logits.clone()
    for row in logits:
        for token in seen:
            row[token] *= penalty if row[token] < 0 else 1 / penalty
    return logits


@wrong("plain", "the given code", true="keeps_the_stop", at=1)
def given_stop_at(ids, stops):
    for stop in stops:
        for start in range(len(ids)):
            if ids[start : start + len(stop)] == stop:
                return start + len(stop)
    return len(ids)


@wrong("plain", "the stop is kept", true="keeps_the_stop", at=1)
def with_the_stop(ids, stops):
    for start in range(len(ids)):
        for stop in stops:
            if ids[start : start + len(stop)] == stop:
                return start + len(stop)
    return len(ids)


@wrong("onward", "the stop that is listed first decides, wherever it is", true="first_in_the_list", at=1)
def listed_first(ids, stops):
    for stop in stops:
        for start in range(len(ids)):
            if ids[start : start + len(stop)] == stop:
                return start
    return len(ids)


@wrong("onward", "the stop that is complete first, as when a text is streamed", true="ends_first", at=1)
def complete_first(ids, stops):
    for end in range(1, len(ids) + 1):
        for stop in stops:
            if ids[:end][-len(stop) :] == stop:
                return end - len(stop)
    return len(ids)


@wrong("named", "only where the text ends with a stop, as a StoppingCriteria looks", true="at_the_end_alone", at=1)
def at_the_end(ids, stops):
    for stop in stops:
        if ids[-len(stop) :] == stop:
            return len(ids) - len(stop)
    return len(ids)


@wrong("named", "any id of a stop ends the text", true="any_id_of_a_stop", at=1)
def any_id(ids, stops):
    ends = {i for stop in stops for i in stop}
    return next((t for t, i in enumerate(ids) if i in ends), len(ids))


@wrong("plain", "the first id of a stop ends the text", true="first_id_alone", at=1)
def first_id(ids, stops):
    return next((t for t, i in enumerate(ids) if any(i == stop[0] for stop in stops)), len(ids))


@wrong("named", "as strings of digits", true="as_text", at=1)
def as_digits(ids, stops):
    text = " ".join(map(str, ids))
    places = [text.find(" ".join(map(str, stop))) for stop in stops]
    places = [p for p in places if p >= 0]
    return len(text[: min(places)].split()) if places else len(ids)


@wrong("large", "as bytes", told="equal in their last bytes: stop_at", at=1)
def as_bytes(ids, stops):
    text = bytes(i % 256 for i in ids)
    places = [text.find(bytes(i % 256 for i in stop)) for stop in stops]
    return min((p for p in places if p >= 0), default=len(ids))


@wrong("named", "a stop at the very end is not met", told="a stop at the end: stop_at", at=1)
def end_missed(ids, stops):
    places = [s for stop in stops for s in range(len(ids) - len(stop)) if ids[s : s + len(stop)] == stop]
    return min(places, default=len(ids))


@wrong("named", "without a stop the answer is -1", true="nothing_found", at=1)
def minus_one(ids, stops):
    places = [s for stop in stops for s in range(len(ids)) if ids[s : s + len(stop)] == stop]
    return min(places, default=-1)


@wrong("plain", "a prefix of a stop at the end counts: zip ends with the shorter one", true="broken_off", at=1)
def by_zip(ids, stops):
    for s in range(len(ids)):
        if any(all(a == b for a, b in zip(ids[s:], stop, strict=False)) for stop in stops):
            return s
    return len(ids)


@wrong("onward", "after a part of a stop it begins again behind it", true="ends_first", at=1)
def no_falling_back(ids, stops):
    at = [0] * len(stops)
    for t, i in enumerate(ids):
        for k, stop in enumerate(stops):
            at[k] = at[k] + 1 if i == stop[at[k]] else 0
            if at[k] == len(stop):
                return t + 1 - len(stop)
    return len(ids)


@wrong("plain", "the ids themselves, not how many", told="returned a list of 2", at=1)
def the_ids(ids, stops):
    for s in range(len(ids)):
        if any(ids[s : s + len(stop)] == stop for stop in stops):
            return ids[:s]
    return ids


@wrong("given", "the text is cut in place", told="changes its input ids", at=1)
def cuts(ids, stops):
    for s in range(len(ids)):
        if any(ids[s : s + len(stop)] == stop for stop in stops):
            del ids[s:]
    return len(ids)


@wrong("given", "the stops are sorted in place", told="changes its input stops", at=1)
def sorts(ids, stops):
    stops.sort(key=len)
    places = [s for stop in stops for s in range(len(ids)) if ids[s : s + len(stop)] == stop]
    return min(places, default=len(ids))


@wrong("plain", "the last place", true="last_place", at=1)
def last_place(ids, stops):
    places = [s for stop in stops for s in range(len(ids)) if ids[s : s + len(stop)] == stop]
    return max(places, default=len(ids))


@wrong(
    "plain",
    "`if place`: a stop at place 0 is none",
    told=r"stop_at\(ids, stops\) is 5, expected 0",
    at=1,
)
def truthy(ids, stops):
    place = next((s for s in range(len(ids)) if any(ids[s : s + len(t)] == t for t in stops)), None)
    return place if place else len(ids)


@wrong(
    "plain",
    "two slips: the first listed decides, and is kept without its last id",
    advice="differ in stops alone",
    at=1,
)
def off_by_one(ids, stops):
    for stop in stops:
        for start in range(len(ids)):
            if ids[start : start + len(stop)] == stop:
                return start + len(stop) - 1
    return len(ids)


@ANSWERS.right
def as_transformers(logits, ids, penalty):
    score = torch.gather(logits, 1, ids)
    score = torch.where(score < 0, score * penalty, score / penalty)
    return logits.scatter(1, ids, score)


@ANSWERS.right
def as_vllm(logits, ids, penalty):
    seen = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
    seen[torch.arange(len(ids), device=ids.device)[:, None], ids] = True
    factors = torch.where(seen, penalty, 1.0).to(logits.dtype)
    return torch.where(logits > 0, logits / factors, logits * factors)


@ANSWERS.right
def with_numpy(logits, ids, penalty):
    z = logits.double().cpu().numpy().copy()
    for b, row in enumerate(ids.cpu().numpy()):
        tokens = np.unique(row)
        z[b, tokens] = np.where(z[b, tokens] > 0, z[b, tokens] / penalty, z[b, tokens] * penalty)
    return torch.from_numpy(z).to(logits)


@ANSWERS.right_at(1)
def by_next(ids, stops):
    return next((t for t in range(len(ids)) if any(ids[t:][: len(s)] == s for s in stops)), len(ids))


@ANSWERS.right_at(1)
def smallest_place(ids, stops):
    places = [len(ids)]
    for stop in stops:
        n = len(stop)
        places += [t for t in range(len(ids) - n + 1) if tuple(ids[t : t + n]) == tuple(stop)]
    return min(places)


@ANSWERS.right_at(1)
def as_letters(ids, stops):
    """Each id is a letter of its own."""
    names = {i: chr(0x100 + k) for k, i in enumerate(dict.fromkeys([*ids, *(i for stop in stops for i in stop)]))}
    text = "".join(names[i] for i in ids)
    found = (text.find("".join(names[i] for i in stop)) for stop in stops)
    return torch.tensor(min((p for p in found if p >= 0), default=len(text)))


# A second round.


@wrong("named", "token 0 is padding, and never penalised", told="only where index -1 is 0, most")
def zero_is_padding(logits, ids, penalty):
    logits = logits.clone()
    for row, seen in zip(logits, ids.tolist(), strict=True):
        for token in set(seen) - {0}:
            row[token] *= penalty if row[token] < 0 else 1 / penalty
    return logits


@wrong("plain", "the largest logit decides the sign for all of a row", true="negative_divided")
def one_sign(logits, ids, penalty):
    score = logits.gather(1, ids)
    return logits.scatter(1, ids, torch.where(score.amax(1, keepdim=True) < 0, score * penalty, score / penalty))


@wrong("ones", "stops of one id alone", advice="the result is the same for two cases that differ in stops alone", at=1)
def single_ids(ids, stops):
    ends = {stop[0] for stop in stops if len(stop) == 1}
    return next((t for t, i in enumerate(ids) if i in ends), len(ids))


@wrong("large", "the longest stop has eight ids", told="nine ids of a stop of ten: stop_at", at=1)
def eight_ids(ids, stops):
    return next((t for t in range(len(ids)) if any(ids[t : t + len(s)][:8] == s[:8] for s in stops)), len(ids))


@wrong("plain", "stops of the first one's length", at=1)
def one_length(ids, stops):
    n = len(stops[0]) if stops else 0
    return next((t for t in range(len(ids)) if ids[t : t + n] in stops), len(ids))


@ANSWERS.right
def in_float64(logits, ids, penalty):
    seen = torch.nn.functional.one_hot(ids, logits.shape[-1]).amax(1).bool()
    z = logits.double()
    return torch.where(seen, torch.where(z > 0, z / penalty, z * penalty), z)


@ANSWERS.right_at(1)
def recursive(ids, stops):
    """Cut at each stop in turn, and the shortest piece is kept."""

    def before(stop):
        for t in range(len(ids) - len(stop) + 1):
            if all(ids[t + k] == i for k, i in enumerate(stop)):
                return t
        return len(ids)

    return min(map(before, stops), default=len(ids))


# A third round.


@wrong("onward", "a stop that breaks off is looked for again from the next id alone", at=1)
def falls_back_to_one(ids, stops):
    best = len(ids)
    for stop in stops:
        j = 0
        for i, token in enumerate(ids):
            j = j + 1 if token == stop[j] else int(token == stop[0])
            if j == len(stop):
                best = min(best, i - j + 1)
                break
    return best


@wrong("large", "64 ids are looked at", told="they differ in T too")
def last_ids(logits, ids, penalty):
    logits = logits.clone()
    for row, seen in zip(logits, ids[:, -64:].tolist(), strict=True):
        for token in {*seen}:
            row[token] *= penalty if row[token] < 0 else 1 / penalty
    return logits


@wrong("large", "stops are cut to 16 ids", at=1)
def short_stops(ids, stops):
    starts = (i for i in range(len(ids)) for s in stops if ids[i : i + len(s[:16])] == s[:16])
    return next(starts, len(ids))


# A sixth round.


def where(ids, stops, fits):
    """The first place at which a stop fits."""
    return next((i for i in range(len(ids)) if any(fits(ids[i : i + len(stop)], stop) for stop in stops)), len(ids))


@wrong("plain", "one stop for each first id, the one listed first", told="two stops begin alike", at=1)
def first_of_a_kind(ids, stops):
    known = {}
    for stop in stops:
        known.setdefault(stop[0], stop)
    return where(ids, [*known.values()], lambda part, stop: part == stop)


@wrong("plain", "one stop for each first id, the longest", told="two stops begin alike", at=1)
def longest_of_a_kind(ids, stops):
    known = {stop[0]: stop for stop in sorted(stops, key=len)}
    return where(ids, [*known.values()], lambda part, stop: part == stop)


@wrong("plain", "the ends of a stop are looked at", told="the ends of a stop", at=1)
def ends_of_a_stop(ids, stops):
    return where(ids, stops, lambda part, stop: len(part) == len(stop) and part[0] == stop[0] and part[-1] == stop[-1])


@wrong("plain", "the ids of a stop in any order", told="the ends of a stop", at=1)
def in_any_order(ids, stops):
    return where(ids, stops, lambda part, stop: part[:1] == stop[:1] and sorted(part) == sorted(stop))


@wrong("plain", "a stop as a set", told="the ends of a stop", at=1)
def as_a_set(ids, stops):
    return where(ids, stops, lambda part, stop: part[:1] == stop[:1] and {*stop} <= {*part})


# A seventh round.


@wrong("plain", "each stop at the first place of its first id alone", true="first_place_alone", at=1)
def at_its_first_id_alone(ids, stops):
    best = len(ids)
    for stop in stops:
        start = ids.index(stop[0]) if stop[0] in ids else len(ids)
        if ids[start : start + len(stop)] == stop:
            best = min(best, start)
    return best
