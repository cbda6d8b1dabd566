"""What a word is.

The rule has a version, which a vocabulary remembers: a model reads text as the text it was trained on was
read. Version 1 cut words at combining marks, dropped symbols with the punctuation and took all between ``<``
and ``>`` for mark-up.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Literal

Level = Literal["word", "char", "subword"]

EOS = "<eos>"
UNKNOWN = "<unk>"
WORD_RULE = 2  # the version of the rule that new vocabularies follow

_JOINERS = "\u200c\u200d"
_FLAG_LETTERS = "\U0001f1e6-\U0001f1ff"
_SKIN_TONES, _FLAG_TAGS = "\U0001f3fb-\U0001f3ff", "\U000e0020-\U000e007f"
_EMOJI_STYLE = "\ufe0f"  # it makes an emoji of a punctuation mark
_MARK_PLANES = (0x300, 0x20000), (0xE0100, 0xE01F0)  # where Unicode has combining marks

# The two special tokens, a word (apostrophes inside it belong to it), or a run of one punctuation mark.
_LETTERS_ALONE = re.compile(rf"{EOS}|{UNKNOWN}|\w+(?:['’]\w+)*|([^\w\s])\1*")

_ANY_TAG = re.compile(rf"(?!{UNKNOWN})</?[A-Za-z][^<>]*>")
_ELEMENTS = """
a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink blockquote
body br button canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div
dl dt em embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header
hgroup hr html i iframe img input ins isindex kbd keygen label legend li link main map mark marquee menu
menuitem meta meter nav nobr noembed noframes noscript object ol optgroup option output p param picture
plaintext pre progress q rb rp rt rtc ruby s samp script search section select slot small source span strike
strong style sub summary sup svg table tbody td template textarea tfoot th thead time title tr track tt u ul
var video wbr xmp
"""
_SWITCHES = """
allowfullscreen async autofocus autoplay checked compact controls default defer disabled formnovalidate
hidden inert ismap itemscope loop multiple muted noresize noshade novalidate nowrap open playsinline
readonly required reversed selected
"""
_VALUE = r"""[\w:.-]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>]+)"""
_COMMENT = re.compile("<!--.*?-->", re.DOTALL)


def tokenise(
    text: str,
    level: Level = "word",
    plain_text: bool = False,
    lower_case: bool = True,
    word_rule: int = WORD_RULE,
) -> Sequence[str]:
    """Cut text into tokens.

    Parameters
    ----------
    text : str
        Lines end with a line feed.
    level : {"word", "char", "subword"}
        "char" makes every character a token, line feeds and spaces included. Of "subword" the text stays as
        it is: what its tokens are, the vocabulary knows.
    plain_text : bool
        How words are found. False, for text that is tokenised already: words are what white space separates,
        and every line end, of empty lines too, becomes ``<eos>`` (the convention of Penn Treebank and
        WikiText-2). True, for text as people write it: lower-cased; a word is a run of letters, digits,
        underscores, combining marks, joiners and inner apostrophes; a symbol, such as an emoji with all that
        belongs to it, is a token; a run of one punctuation mark or symbol is one token of at most three
        (``==``, ``...``, an underline is ``===``); line ends become ``<eos>``, and empty lines leave nothing.
        Letters with accents are the same in either of Unicode's forms (NFC is used), and ``İ`` in lower case
        is ``i``.
    lower_case : bool
        Whether plain text is lower-cased.
    word_rule : int
        Version of the rule for plain text.

    Returns
    -------
    sequence of str
    """
    if level != "word":
        return text
    if not plain_text:
        return text.replace("\n", f" {EOS} ").split()
    text = text.lower() if lower_case else text
    pattern = _LETTERS_ALONE
    if word_rule > 1 and not text.isascii():
        # "İ" in lower case is "i" and a dot above it, which no other way of writing the word has.
        text = unicodedata.normalize("NFC", text.replace("i\u0307", "i") if lower_case else text)
        pattern = _letters_and_marks()
    line = re.sub(r"\n\s*", f" {EOS} ", text.lstrip())
    return [
        match[0] if match[1] is None else match[0][: 3 * len(match[1])] for match in pattern.finditer(line)
    ]


def split_words(
    text: str, lower_case: bool = True, punctuation: bool = False, word_rule: int = WORD_RULE
) -> Sequence[str]:
    """Cut a text into words.

    As `tokenise` cuts plain text, but that line ends and HTML tags such as ``<br />`` are only white space.

    Parameters
    ----------
    text : str
    lower_case : bool
        Whether to lower-case it.
    punctuation : bool
        Whether punctuation marks, which include the symbols of ASCII such as ``+``, are words too. They are
        in a text that has nothing else. Other symbols always are.
    word_rule : int
        Version of the rule.

    Returns
    -------
    sequence of str

    Examples
    --------
    >>> split_words("It's <b>great</b>!!!<br />See it.")
    ["it's", 'great', 'see', 'it']
    >>> split_words("It's <b>great</b>!!!<br />See it.", punctuation=True)
    ["it's", 'great', '!!!', 'see', 'it', '.']
    >>> split_words("<user> pays 5 €!")
    ['user', 'pays', '5', '€']
    """
    bare = _ANY_TAG.sub(" ", text) if word_rule == 1 else _without_html(text)
    every = tokenise(" ".join(bare.split()), "word", True, lower_case, word_rule)
    if punctuation:
        return every
    symbol = _is_symbol if word_rule > 1 else (lambda word: False)
    return [
        word for word in every if word[0].isalnum() or word[0] == "_" or word == UNKNOWN or symbol(word)
    ] or every


def _without_html(text: str) -> str:
    """A text with a space in the place of each tag and comment of HTML."""
    if "<" not in text:
        return text
    if "<!--" in text:  # a search for an end that is not there would go to the end of the text each time
        commented, end, rest = text.rpartition("-->")
        text = _COMMENT.sub(" ", commented + end) + rest
    return _html_tag().sub(" ", text)


@cache
def _html_tag() -> re.Pattern[str]:
    """A tag of an element of HTML, whose attributes have values or are switches; made when needed."""
    names, switches = "|".join(_ELEMENTS.split()), "|".join(_SWITCHES.split())
    attribute = rf"\s+(?:{_VALUE}|(?:{switches})\b)"
    return re.compile(rf"<(?:/?(?:{names})(?:{attribute})*\s*/?>|!doctype\b[^<>]*>)", re.IGNORECASE)


def _is_symbol(word: str) -> bool:
    """Whether a token that begins with no letter or digit is more than punctuation."""
    if _EMOJI_STYLE in word:
        return True
    category = unicodedata.category(word[0])
    # What Python's Unicode does not know yet (Cn) is most likely an emoji.
    return not word[0].isascii() and (category[0] in "MS" or category in ("Cn", "Co"))


@cache
def _letters_and_marks() -> re.Pattern[str]:
    """As `_LETTERS_ALONE`, with combining marks, for which `re` has no class, and emoji; made when needed."""
    marks = _ranges(
        [
            code
            for code in chain.from_iterable(range(*plane) for plane in _MARK_PLANES)
            if unicodedata.category(chr(code))[0] == "M"
        ]
    )
    word = rf"[\w{marks}][\w{marks}{_JOINERS}]*"
    attached = f"{marks}{_SKIN_TONES}{_FLAG_TAGS}"
    sign = rf"[^\w\s{marks}][{attached}]*"
    sequence = rf"[{_FLAG_LETTERS}]{{2}}|{sign}(?:\u200d{sign})*"
    # A run ends before a sign that begins a longer sequence.
    run = rf"({sequence})(?:\1(?![{attached}\u200d]))*"
    return re.compile(rf"{EOS}|{UNKNOWN}|{word}(?:['’]{word})*|{run}")


def _ranges(codes: Sequence[int]) -> str:
    """Ascending code points as the inside of a class of `re`."""
    starts = [code for before, code in zip([-1, *codes], codes, strict=False) if code != before + 1]
    ends = [code for code, after in zip(codes, [*codes[1:], -1], strict=True) if after != code + 1]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
