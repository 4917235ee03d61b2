"""A text field that tells which letters were typed into it, each once, wherever the cursor is."""

import unicodedata
from collections.abc import Callable

import ipywidgets as w

MOST_AT_ONCE = 40  # letters; more in one step are a pasted text and no keys, however slow the kernel is


class KeyField(w.Text):
    """Calls `typed` with the letters that are typed (full-width ones too, all in lower case), each letter once.

    A page sends the field's whole text, not its keys, and several changes at once while the kernel is busy. What was
    typed is therefore what the text has and the one before had not: letters put in anywhere, none for deleted or moved
    ones. The field is emptied by `clear` alone, never while somebody types: what is on its way would be lost.
    """

    def __init__(self, typed: Callable[[str], None], placeholder: str):
        self._typed = typed
        self._seen = ""  # the text whose letters were all told
        self._cleared = ""  # the text before `clear`, which a page may still continue that has not heard of it
        super().__init__(placeholder=placeholder, continuous_update=True)
        self.observe(lambda change: self._changed(change["new"]), "value")

    def clear(self) -> None:
        """Empty the field: nothing of its text is told again."""
        if self._seen:
            self._cleared = self._seen
        self._seen = ""
        self.value = ""

    def _changed(self, text: str) -> None:
        # a page that knows that its field is empty begins with one letter; more are still the text before, with or
        # without changes. When in doubt nothing is told: a missing answer is seen, an invented one is not.
        unaware = bool(self._cleared) and not self._seen and len(text) > 1
        letters = put_in(self._cleared if unaware else self._seen, text)
        self._seen = text
        if unaware:
            self.clear()
        elif text:
            self._cleared = ""
        if 0 < len(letters) <= MOST_AT_ONCE:
            self._typed(unicodedata.normalize("NFKC", letters).lower())


def put_in(before: str, after: str) -> str:
    """The letters of `after` that are not left of `before`, in their order; as few as can be (a longest common
    subsequence is what is left)."""
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if not old or len(new) > MOST_AT_ONCE + len(old):
        return new

    kept = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]  # [i][j]: letters old[i:] and new[j:] share
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            same = old[i] == new[j]
            kept[i][j] = 1 + kept[i + 1][j + 1] if same else max(kept[i + 1][j], kept[i][j + 1])

    letters = ""
    i = j = 0
    while j < len(new):
        if i < len(old) and old[i] == new[j]:
            i += 1
            j += 1
        elif i < len(old) and kept[i + 1][j] >= kept[i][j + 1]:
            i += 1  # this one was deleted
        else:
            letters += new[j]
            j += 1
    return letters


def _common(one: str, other: str) -> int:
    """How many first letters are the same."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
