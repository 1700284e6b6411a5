"""Accuracy = right / labelled. F1_c = 2 P_c R_c / (P_c + R_c), and macro F1 is its mean over the classes that occur.

Exact match and token F1 as SQuAD 1.1 and 2.0 score them: Rajpurkar et al. 2016, section 6.1, with the official script's
normalisation; an empty answer matches an empty prediction only (Rajpurkar et al. 2018).
"""

import collections
import re
import string

import torch

from grader.contract import Trusted

IGNORED = -100
ARTICLES = {"a", "an", "the"}


def accuracy_reference(logits, labels):
    right = total = 0
    for row, label in zip(logits.flatten(0, -2).tolist(), labels.flatten().tolist(), strict=True):
        if label != IGNORED:
            total += 1
            right += row.index(max(row)) == label
    return right / total if total else 0.0


def pairs_of(predictions, labels):
    return [(p, y) for p, y in zip(predictions.tolist(), labels.tolist(), strict=True) if y != IGNORED]


def by_class(pairs):
    """c -> true positives, predicted, true, for every class that occurs on either side."""
    classes = sorted({c for pair in pairs for c in pair})
    return {
        c: (sum(p == y == c for p, y in pairs), sum(p == c for p, _ in pairs), sum(y == c for _, y in pairs))
        for c in classes
    }


def harmonic(P, R):
    return 2 * P * R / (P + R) if P + R else 0.0


def ratio(n, m):
    return n / m if m else 0.0


def f1(tp, predicted, true):
    return harmonic(ratio(tp, predicted), ratio(tp, true))


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def macro_reference(predictions, labels):
    return mean(f1(*counts) for counts in by_class(pairs_of(predictions, labels)).values())


def words_reference(text):
    letters = "".join(c for c in text.lower() if c not in string.punctuation)
    return [word for word in letters.split() if word not in ARTICLES]


def exact_reference(prediction, answer):
    return float(words_reference(prediction) == words_reference(answer))


def token_reference(prediction, answer):
    p, a = words_reference(prediction), words_reference(answer)
    if not p or not a:
        return float(p == a)
    common = sum((collections.Counter(p) & collections.Counter(a)).values())
    return harmonic(common / len(p), common / len(a))


TRUSTED = Trusted((accuracy_reference, macro_reference, words_reference, exact_reference, token_reference))
NAMES = ("accuracy", "macro", "words", "exact", "token")


def wrong(which, sentence):
    def register(function):
        objects = [function if name == which else right for name, right in zip(NAMES, TRUSTED.reference, strict=True)]
        TRUSTED.add_mistake(function.__name__, sentence, *objects)
        return function

    return register


def in_words(words):
    """exact_match and token_f1 of someone whose `words` is this one."""

    def exact(prediction, answer):
        return float(words(prediction) == words(answer))

    def token(prediction, answer):
        p, a = words(prediction), words(answer)
        if not p or not a:
            return float(p == a)
        common = sum((collections.Counter(p) & collections.Counter(a)).values())
        return harmonic(common / len(p), common / len(a))

    return exact, token


def wrong_words(sentence):
    def register(words):
        TRUSTED.add_mistake(words.__name__, sentence, accuracy_reference, macro_reference, words, *in_words(words))
        return words

    return register


# accuracy


@wrong(
    "accuracy",
    "accuracy counts places whose label is -100 as wrong: they have no label, so they belong neither above nor "
    "below the fraction line.",
)
def accuracy_of_all_places(logits, labels):
    return (logits.argmax(-1) == labels).double().mean()


@wrong(
    "accuracy",
    "accuracy turns the label -100 into class 0: where the model says 0 at such a place it is counted as right.",
)
def accuracy_with_clamped_labels(logits, labels):
    return (logits.argmax(-1) == labels.clamp(min=0)).double().mean()


@wrong(
    "accuracy",
    "accuracy calls a label right whose logit ties with the largest: a model that says the same for every class would "
    "be right everywhere. The prediction is one class, the first of the largest, as argmax gives it.",
)
def accuracy_ties_are_right(logits, labels):
    keep = labels != IGNORED
    logits, labels = logits[keep], labels[keep]
    return mean((logits.gather(-1, labels[:, None])[:, 0] == logits.amax(-1)).tolist())


@wrong("accuracy", "accuracy takes the last of several largest logits: argmax takes the first.")
def accuracy_last_of_tied(logits, labels):
    C = logits.shape[-1]
    return mean((C - 1 - logits.flip(-1).argmax(-1) == labels)[labels != IGNORED].tolist())


@wrong(
    "accuracy",
    "accuracy averages the rows' own accuracies: a row with one label weighs as much as a row with many. Count right "
    "and labelled places over the whole batch.",
)
def accuracy_averaged_over_rows(logits, labels):
    if labels.dim() == 1:
        return accuracy_reference(logits, labels)
    kept = [(x, y) for x, y in zip(logits, labels, strict=True) if (y != IGNORED).any()]
    return mean(accuracy_reference(x, y) for x, y in kept)


@wrong("accuracy", "accuracy is NaN where no place has a label: 0 / 0. Give 0 there.")
def accuracy_nan_without_labels(logits, labels):
    return (logits.argmax(-1) == labels)[labels != IGNORED].double().mean()


@wrong("accuracy", "accuracy divides by 0 where no place has a label. Give 0 there.")
def accuracy_error_without_labels(logits, labels):
    right = (logits.argmax(-1) == labels)[labels != IGNORED].tolist()
    return sum(right) / len(right)


@wrong("accuracy", "accuracy gives the number of right places: divide by the number of labelled ones.")
def accuracy_as_count(logits, labels):
    return (logits.argmax(-1) == labels)[labels != IGNORED].sum()


@wrong("accuracy", "accuracy gives percent: a share between 0 and 1 is asked for.")
def accuracy_in_percent(logits, labels):
    return 100 * accuracy_reference(logits, labels)


@wrong("accuracy", "accuracy takes the largest logit along the wrong dimension: the classes are the last one.")
def accuracy_over_the_wrong_dimension(logits, labels):
    predictions = logits.argmax(-2)
    return mean((predictions == labels)[labels != IGNORED].tolist())


# macro F1


@wrong(
    "macro",
    "macro_f1 gives micro F1, which for one label a place is nothing but accuracy: frequent classes decide it. Take F1 "
    "of each class and average them.",
)
def macro_is_micro(predictions, labels):
    return mean(p == y for p, y in pairs_of(predictions, labels))


@wrong(
    "macro",
    "macro_f1 weighs each class by how often it is the label: macro means that every class counts the same.",
)
def macro_is_weighted(predictions, labels):
    pairs = pairs_of(predictions, labels)
    return sum(true * f1(tp, predicted, true) for tp, predicted, true in by_class(pairs).values()) / max(len(pairs), 1)


@wrong(
    "macro",
    "macro_f1 counts classes as 0 that occur neither among predictions nor among labels, such as numbers in between. "
    "They can be neither right nor wrong: leave them out.",
)
def macro_with_absent_classes(predictions, labels):
    found = by_class(pairs_of(predictions, labels))
    return sum(f1(*counts) for counts in found.values()) / (max(found, default=0) + 1)


@wrong(
    "macro",
    "macro_f1 leaves out classes that are predicted but never the label: every such prediction is an error, and the "
    "class's F1 is 0.",
)
def macro_of_the_labels(predictions, labels):
    found = by_class(pairs_of(predictions, labels)).values()
    return mean(f1(*counts) for counts in found if counts[2])


@wrong(
    "macro",
    "macro_f1 leaves out classes that are never predicted: a class that the model does not know at all would cost "
    "nothing. Its F1 is 0.",
)
def macro_of_the_predictions(predictions, labels):
    found = by_class(pairs_of(predictions, labels)).values()
    return mean(f1(*counts) for counts in found if counts[1])


@wrong(
    "macro",
    "macro_f1 leaves out classes without a true positive, as nanmean does with 0 / 0: their F1 is 0, and they count.",
)
def macro_of_the_known(predictions, labels):
    found = by_class(pairs_of(predictions, labels)).values()
    return mean(f1(*counts) for counts in found if counts[0])


@wrong(
    "macro",
    "macro_f1 is NaN where a class has no true positive: precision, recall or F1 becomes 0 / 0. F1 is 0 there. "
    "2 TP / (predicted + true) needs no special case.",
)
def macro_nan(predictions, labels):
    return mean(
        float("nan") if tp == 0 else f1(tp, *rest) for tp, *rest in by_class(pairs_of(predictions, labels)).values()
    )


@wrong(
    "macro",
    "macro_f1 divides by 0 where a class has no true positive: precision, recall or F1 becomes 0 / 0. F1 is 0 there. "
    "2 TP / (predicted + true) needs no special case.",
)
def macro_divides_by_zero(predictions, labels):
    def f1(tp, predicted, true):
        P, R = tp / predicted, tp / true
        return 2 * P * R / (P + R)

    return mean(f1(*counts) for counts in by_class(pairs_of(predictions, labels)).values())


@wrong(
    "macro",
    "macro_f1 averages precision and recall over the classes first and combines them once. That is another number "
    "(Opitz and Burst 2019): take F1 of each class, then average.",
)
def macro_of_averages(predictions, labels):
    found = by_class(pairs_of(predictions, labels)).values()
    return harmonic(mean(ratio(tp, n) for tp, n, _ in found), mean(ratio(tp, m) for tp, _, m in found))


@wrong("macro", "macro_f1 averages recall over the classes (balanced accuracy): precision is missing.")
def macro_recall(predictions, labels):
    return mean(ratio(tp, true) for tp, _, true in by_class(pairs_of(predictions, labels)).values())


@wrong("macro", "macro_f1 averages precision over the classes: recall is missing.")
def macro_precision(predictions, labels):
    return mean(ratio(tp, predicted) for tp, predicted, _ in by_class(pairs_of(predictions, labels)).values())


@wrong("macro", "macro_f1 gives F1 of class 1 alone: average over all classes.")
def macro_of_class_one(predictions, labels):
    return f1(*by_class(pairs_of(predictions, labels)).get(1, (0, 0, 0)))


@wrong(
    "macro",
    "macro_f1 takes -100 for a class of its own: it says that there is no label. Drop these places before you count.",
)
def macro_ignored_as_class(predictions, labels):
    pairs = list(zip(predictions.tolist(), labels.tolist(), strict=True))
    return mean(f1(*counts) for counts in by_class(pairs).values())


@wrong(
    "macro",
    "macro_f1 counts predictions at places whose label is -100 as false: nobody knows whether they are. Drop these "
    "places before you count.",
)
def macro_ignored_as_errors(predictions, labels):
    pairs = list(zip(predictions.tolist(), labels.tolist(), strict=True))
    return mean(f1(*counts) for c, counts in by_class(pairs).items() if c != IGNORED)


@wrong("macro", "macro_f1 breaks where no place has a label: it divides by the number of classes, 0. Give 0 there.")
def macro_error_without_labels(predictions, labels):
    found = by_class(pairs_of(predictions, labels)).values()
    return sum(f1(*counts) for counts in found) / len(found)


# words


@wrong_words("words keeps capitals: Paris and paris would be two words. Use lower().")
def words_with_capitals(text):
    letters = "".join(c for c in text if c not in string.punctuation)
    return [word for word in letters.split() if word.lower() not in ARTICLES]


@wrong_words("words keeps punctuation: 'Paris.' would not match 'Paris'.")
def words_with_punctuation(text):
    return [word for word in text.lower().split() if word not in ARTICLES]


@wrong_words(
    "words takes punctuation off the ends of a word only: delete it inside as well, so that U.S. and US are the same."
)
def words_stripped(text):
    found = (word.strip(string.punctuation) for word in text.lower().split())
    return [word for word in found if word and word not in ARTICLES]


@wrong_words(
    "words puts a space where punctuation was, or splits there: delete it, so that U.S. becomes us, as in the "
    "official script."
)
def words_split_at_punctuation(text):
    return [word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in ARTICLES]


@wrong_words("words keeps the articles a, an and the: 'the Danube' would not match 'Danube'.")
def words_with_articles(text):
    return "".join(c for c in text.lower() if c not in string.punctuation).split()


@wrong_words("words drops 'the' only: a and an are articles too.")
def words_without_the(text):
    return [word for word in words_with_articles(text) if word != "the"]


@wrong_words(
    "words deletes the letters of articles inside other words as well, so that 'weather' becomes 'wear': drop "
    "whole words."
)
def words_without_letters(text):
    letters = " ".join(words_with_articles(text))
    for article in ("the", "an", "a"):
        letters = letters.replace(article, "")
    return letters.split()


@wrong_words("words looks for articles before it lowers the letters: 'The' stays as 'the'.")
def words_articles_before_lower(text):
    kept = [word for word in text.split() if word not in ARTICLES]
    letters = "".join(c for c in " ".join(kept).lower() if c not in string.punctuation)
    return [word for word in letters.split() if word not in {"a", "an"} or word in kept]


@wrong_words(
    "words drops articles before punctuation is gone: in '\"The' the quotation mark still hides one. Delete "
    "punctuation first."
)
def words_articles_before_punctuation(text):
    kept = [word for word in text.lower().split() if word not in ARTICLES]
    return "".join(c for c in " ".join(kept) if c not in string.punctuation).split()


@wrong_words(
    "words splits at every single space, so that two spaces leave an empty word between them, and tabs and line breaks "
    "stay: split() without an argument splits at any white space."
)
def words_split_at_one_space(text):
    letters = "".join(c for c in text.lower() if c not in string.punctuation)
    return [word for word in letters.split(" ") if word not in ARTICLES]


@wrong_words("words gives every word once: token F1 counts how often a word occurs, so keep them all, in order.")
def words_once(text):
    return list(dict.fromkeys(words_reference(text)))


@wrong_words("words sorts the words: their order matters for exact match.")
def words_sorted(text):
    return sorted(words_reference(text))


# exact match


@wrong("exact", "exact_match compares the texts as they are: compare words(prediction) with words(answer).")
def exact_raw(prediction, answer):
    return float(prediction == answer)


@wrong("exact", "exact_match only lowers the letters: articles and punctuation should not matter either. Use words.")
def exact_lowered(prediction, answer):
    return float(prediction.lower().strip() == answer.lower().strip())


@wrong("exact", "exact_match is content when the answer lies somewhere within the prediction: they must be equal.")
def exact_answer_within(prediction, answer):
    p, a = (" ".join(["", *words_reference(text), ""]) for text in (prediction, answer))
    return float(a in p if a.strip() else p == a)


@wrong("exact", "exact_match is content when the prediction lies somewhere within the answer: they must be equal.")
def exact_prediction_within(prediction, answer):
    return exact_answer_within(answer, prediction)


@wrong("exact", "exact_match compares sets: order and repetition matter.")
def exact_sets(prediction, answer):
    return float(set(words_reference(prediction)) == set(words_reference(answer)))


@wrong("exact", "exact_match ignores the order of the words: they must be the same list.")
def exact_counts(prediction, answer):
    return float(sorted(words_reference(prediction)) == sorted(words_reference(answer)))


@wrong(
    "exact",
    "exact_match gives 0 when both are empty: a question without an answer is answered rightly by saying nothing.",
)
def exact_empty_is_wrong(prediction, answer):
    p, a = words_reference(prediction), words_reference(answer)
    return float(bool(p) and p == a)


@wrong("exact", "exact_match gives 1 whenever the answer is empty: only an empty prediction matches it.")
def exact_empty_answer_is_right(prediction, answer):
    p, a = words_reference(prediction), words_reference(answer)
    return float(not a or p == a)


# token F1


def token_with(count):
    """Token F1 with `count(p, a)` for the number of common words."""

    def token(prediction, answer):
        p, a = words_reference(prediction), words_reference(answer)
        if not p or not a:
            return float(p == a)
        common = count(p, a)
        return harmonic(common / len(p), common / len(a))

    return token


def multiset(p, a):
    return sum((collections.Counter(p) & collections.Counter(a)).values())


@wrong(
    "token",
    "token_f1 works on sets, so a word that stands twice counts once: use a multiset, collections.Counter, whose & "
    "takes the smaller count of each word.",
)
def token_of_sets(prediction, answer):
    p, a = set(words_reference(prediction)), set(words_reference(answer))
    if not p or not a:
        return float(p == a)
    return harmonic(len(p & a) / len(p), len(p & a) / len(a))


@wrong(
    "token",
    "token_f1 counts common words in a set, but divides by the lengths with repetitions: a word that stands twice in "
    "both is common twice.",
)
def token_common_set(prediction, answer):
    return token_with(lambda p, a: len(set(p) & set(a)))(prediction, answer)


@wrong(
    "token",
    "token_f1 counts every word of the prediction that occurs in the answer, however often: repeating one right word "
    "would be paid again and again. A word is common as often as it occurs in both.",
)
def token_repeats_are_paid(prediction, answer):
    return token_with(lambda p, a: sum(word in a for word in p))(prediction, answer)


@wrong("token", "token_f1 gives 0 when both are empty: then the prediction is right, and F1 is 1.")
def token_empty_is_wrong(prediction, answer):
    p, a = words_reference(prediction), words_reference(answer)
    return token_reference(prediction, answer) if p and a else 0.0


@wrong("token", "token_f1 gives 1 whenever the answer is empty: only an empty prediction is right then.")
def token_empty_answer_is_right(prediction, answer):
    return token_reference(prediction, answer) if words_reference(answer) else 1.0


@wrong(
    "token",
    "token_f1 asks whether the raw texts are empty: 'the' has no words that count. Ask after words.",
)
def token_raw_empty(prediction, answer):
    if not prediction or not answer:
        return float(prediction == answer)
    return token_reference(prediction, answer)


@wrong(
    "token",
    "token_f1 divides by 0 where there is no word at all. With both empty it is 1, with one empty it is 0.",
)
def token_error_on_empty(prediction, answer):
    p, a = words_reference(prediction), words_reference(answer)
    return harmonic(multiset(p, a) / len(p), multiset(p, a) / len(a))


@wrong("token", "token_f1 divides by 0 where no word is common: precision and recall are both 0. Give 0 there.")
def token_error_without_common(prediction, answer):
    p, a = words_reference(prediction), words_reference(answer)
    if not p or not a:
        return float(p == a)
    P, R = multiset(p, a) / len(p), multiset(p, a) / len(a)
    return 2 * P * R / (P + R)


@wrong("token", "token_f1 gives precision, the share of the prediction that is right: recall is missing.")
def token_precision(prediction, answer):
    p, a = words_reference(prediction), words_reference(answer)
    return multiset(p, a) / len(p) if p and a else float(p == a)


@wrong("token", "token_f1 gives recall, the share of the answer that was found: precision is missing.")
def token_recall(prediction, answer):
    return token_precision(answer, prediction)


@wrong("token", "token_f1 gives the ordinary mean of precision and recall: F1 is the harmonic one, 2 P R / (P + R).")
def token_arithmetic(prediction, answer):
    return (token_precision(prediction, answer) + token_recall(prediction, answer)) / 2


@wrong("token", "token_f1 gives common words over all words (Jaccard): F1 counts the common ones twice.")
def token_jaccard(prediction, answer):
    p, a = words_reference(prediction), words_reference(answer)
    common = multiset(p, a)
    return common / (len(p) + len(a) - common) if p or a else 1.0


@wrong("token", "token_f1 compares letters: its tokens are the words of words(text).")
def token_of_letters(prediction, answer):
    p, a = (" ".join(words_reference(text)) for text in (prediction, answer))
    if not p or not a:
        return float(p == a)
    return harmonic(multiset(p, a) / len(p), multiset(p, a) / len(a))


@wrong("token", "token_f1 splits the raw texts: capitals, articles and punctuation should not matter. Use words.")
def token_raw(prediction, answer):
    p, a = prediction.split(), answer.split()
    if not p or not a:
        return float(p == a)
    return harmonic(multiset(p, a) / len(p), multiset(p, a) / len(a))


# other right ones


def accuracy_vectorised(logits, labels):
    keep = labels != IGNORED
    right = (logits.argmax(dim=-1) == labels) & keep
    return right.sum() / keep.sum().clamp(min=1)


def macro_vectorised(predictions, labels):
    keep = labels != IGNORED
    p, y = predictions[keep], labels[keep]
    classes = torch.cat([p, y]).unique()
    if len(classes) == 0:
        return p.new_zeros((), dtype=torch.float32)
    P, Y = p == classes[:, None], y == classes[:, None]
    return (2 * (P & Y).sum(1) / (P.sum(1) + Y.sum(1))).mean()


def words_by_the_script(text):
    """In the steps of SQuAD's evaluate-v2.0.py."""
    text = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
    return re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text).split()


def exact_as_int(prediction, answer):
    return int(" ".join(words_by_the_script(prediction)) == " ".join(words_by_the_script(answer)))


def token_counted(prediction, answer):
    p, a = words_by_the_script(prediction), words_by_the_script(answer)
    common = collections.Counter(p) & collections.Counter(a)
    same = sum(common.values())
    if len(p) == 0 or len(a) == 0:
        return int(p == a)
    if same == 0:
        return 0
    precision, recall = 1.0 * same / len(p), 1.0 * same / len(a)
    return (2 * precision * recall) / (precision + recall)


def accuracy_from_a_list(logits, labels):
    pairs = list(zip(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), strict=True))
    hits = [bool(row.max(-1).indices == label) for row, label in pairs if label >= 0]
    return sum(hits) / len(hits) if hits else 0


def macro_from_a_matrix(predictions, labels):
    p, y = predictions[labels >= 0], labels[labels >= 0]
    if p.numel() == 0:
        return 0.0
    C = int(torch.cat([p, y]).max()) + 1
    M = torch.bincount(y * C + p, minlength=C * C).view(C, C).double()
    tp, n = M.diagonal(), M.sum(0) + M.sum(1)
    return (2 * tp[n > 0] / n[n > 0]).mean().item()


def words_translated(text):
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [word for word in plain.split() if word not in ("a", "an", "the")]


def exact_as_bool(prediction, answer):
    return words_translated(prediction) == words_translated(answer)


def token_by_removal(prediction, answer):
    p, a = words_translated(prediction), words_translated(answer)
    if not p and not a:
        return 1.0
    rest, common = list(a), 0
    for word in p:
        if word in rest:
            rest.remove(word)
            common += 1
    return 2 * common / (len(p) + len(a))


TRUSTED.add_alternative(
    "vectorised", accuracy_vectorised, macro_vectorised, words_by_the_script, exact_as_int, token_counted
)
TRUSTED.add_alternative(
    "in_other_ways", accuracy_from_a_list, macro_from_a_matrix, words_translated, exact_as_bool, token_by_removal
)
