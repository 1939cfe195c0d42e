r"""Penn Treebank words as caption metrics count them: the tokens of Stanford's PTBTokenizer 3.4.1, without Java.

The published BLEU, ROUGE-L, CIDEr, METEOR and SPICE of image and video captioning are computed on captions cut into
words by that program (options -preserveLines -lowerCase), less a fixed list of punctuation. It is a longest-match
lexer: at each place every rule below is tried, the longest match wins, of equally long ones the first. What a rule
matches beyond its first group is context: it counts for the length, and is read again.

All captions are read as one text, a line each, and that shows: whether "etc." at the end of a caption also ends the
sentence (one more full stop) depends on how the *next* caption begins. So do the official figures.

The rules were written against the program's answers; `tests/evaluation/metrics/test_penn_words.py` compares tokens
with it on 25,014 COCO captions, 10,694 VQA questions and some 60,000 harder lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)
"""Tokens that the metrics leave out. As published, -lrb- and its like are not: they are lower-cased by then."""

_LETTER, _ALNUM = r"[^\W\d_]", r"[^\W_\u00b2\u00b3\u00b9\u2070-\u209c]"
_APOSTROPHE = "(?:['\u0092\u2019]|&apos;)"
_QUOTE = "(?:['\u0091\u0092\u2018\u2019\u201b]|&apos;)"
_SHORT = rf"{_APOSTROPHE}(?:[msdMSD]|re|ve|ll|RE|VE|LL)"
_WORD = rf"{_LETTER}{_ALNUM}*(?:[.!?]{_LETTER}{_ALNUM}*)*"
_NUMBER = "(?:[0-9]*(?:[.:,\u00ad\u066b\u066c][0-9]+)+|[0-9]+)"
_PLAIN = r""" \t\n\f\r"<>|(){}"""
_END = r"(?=\s(?:[ \t\n\u00a0]|[A-Z]))"
_STARTERS = (
    "A|About|According|Additionally|After|An|As|At|But|Earlier|He|Her|Here|However|If|In|It|Last|Many|More|Now|Once|"
    "One|Other|Our|She|Since|So|Some|Such|That|The|Their|Then|There|These|They|This|We|What|When|While|Yet|You"
)
_START = rf"(?=\s+(?:{_STARTERS}|{_STARTERS.upper()})\s)"
"""Words that begin a sentence after an acronym or an initial."""
_SENTENCE_END_OR_NOT = (
    "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tues?|Wed|Thu|Thurs|Fri|Ala|Ariz|Calif|Colo|Conn|Ct|Dak|Fla|Ga|"
    "Ind|Kans?|Ky|Md|Mich|Minn|Mo|Mont|Neb|Nev|Okla|Penn|Tenn|Va|Vt|Wisc?|Wyo|Inc|Cos?|Corp|Ltd|Plc|Bancorp|Bhd|Assn|"
    r"Univ|Intl|Sys|Jr|Sr|Bros|Blvd|Rd|Esq|etc|al|seq|tel|est|ext|sq|Bldg|Rt|Ph\.D|Ed\.D"
)
_STATES = "Az|Ark|Del|Ill|La|Mass|Miss|Ore|Pa|Tex|Wash"
_MAY_END = rf"(?:(?i:{_SENTENCE_END_OR_NOT})|{_STATES}|{_STATES.upper()}|[Pp]t[ey]s?)"
"""Abbreviations that may stand at the end of a sentence, which then gets a full stop of its own."""
_NEVER_SENTENCE_END = (
    "Mrs?|Ms|Drs?|Profs?|Sens?|Reps?|Attys?|Lt|Col|Gen|Messrs|Govs?|Adm|Rev|Maj|Sgt|Cpl|Pvt|Capt|Ste?|Ave|Pres|Lieut|"
    "Hon|Brig|Co?mdr|Pfc|Spc|Supts?|Det|Mt|Ft|Mme|Mlle|Msgr|Dept|vs|Invt|Elec|Natl|Ph|Cie|Asst|Assoc|Treas"
)
_BEFORE_NUMBERS = "pp|nos?|figs?|prop|art|op|ca|bldg"
_FILES = (
    "bat|bmp|bz2|c|class|cgi|cpp|dll|docx?|exe|gif|gz|h|html?|jar|java|jpe?g|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql|tar|"
    "txt|wav|x|xml|zip|wmv|xlsx?"
)
_THING = rf"(?:[dDoOlL]{_QUOTE}(?={_ALNUM}{{2}}))?{_ALNUM}+"

_RULES: list[tuple[str, str]] = [
    ("tag", r"</?[A-Za-z!?][^<>\n]*>"),
    ("word", r"([Cc][Aa][Nn])[Nn][Oo][Tt]"),
    ("word", r"([Gg][Oo][NnTt])(?:(?<=[Nn])[Nn]|(?<=[Tt])[Tt])[Aa]"),
    ("word", r"([Ll][Ee][Mm]|[Gg][Ii][Mm])[Mm][Ee]|([Ww][Aa][Nn])[Nn][Aa]"),
    ("word", rf"({_APOSTROPHE}[Tt])(?:[Ii][Ss]|[Ww][Aa][Ss])(?!{_ALNUM})"),
    ("word", rf"([A-Za-z]*[A-MO-Za-mo-z])[nN](?:{_APOSTROPHE}|`)[tT]"),
    ("word", rf"({_WORD}){_SHORT}(?!{_ALNUM})"),
    ("word", rf"[nN](?:{_APOSTROPHE}|`)[tT](?!{_ALNUM})"),
    ("word", rf"{_SHORT}(?!{_ALNUM})"),
    ("url", rf"https?://[^{_PLAIN}]+[^{_PLAIN}'.!?,-]"),
    ("url", rf"(?:www\.(?:[^{_PLAIN}.!?,]+\.)+[a-zA-Z]{{2,4}}|(?:[^{_PLAIN}`'.!?,\-_$/@]+\.)+(?:com|net|org|edu))"
            rf"(?:/[^ \t\n\f\r\"<>|()]+[^{_PLAIN}.!?,-])?"),
    ("url", rf"[a-zA-Z0-9][^{_PLAIN}\u00a0]*@(?:[^{_PLAIN}.\u00a0]+\.)*[^{_PLAIN}\[\].,;:\u00a0]+"),
    ("word", r"@[a-zA-Z_][a-zA-Z_0-9]*|#[^\W\d_]+"),
    ("word", r"[0-9]{1,2}[-/][0-9]{1,2}[-/][0-9]{2,4}"),
    ("word", rf"[-+]?{_NUMBER}"),
    ("word", "(?:[0-9]{1,4}[- \u00a0])?[0-9]{1,4}\\\\?[/\u2044][0-9]{1,4}(?![0-9])"),
    ("word", r"(?:\([0-9]{2,3}\)[ \u00a0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0])[0-9]{3,4}"
             r"[- \u00a0]?[0-9]{3,5}|(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"),
    ("word", _WORD),
    ("word", rf"(?:{_ALNUM}+\.)+(?:{_FILES})(?!{_ALNUM})"),
    ("word", rf"{_WORD}(?:[-_\u2010\u2011]{_THING})*"),
    ("word", rf"{_THING}(?:[-_\u2010\u2011]{_THING})*"),
    ("word", rf"[Cc]{_APOSTROPHE}est"),
    ("word", rf"{_THING}(?:-{_LETTER}{_ALNUM}*)*(?:/{_THING}(?:-{_LETTER}{_ALNUM}*)*)+"),
    ("word", rf"[A-HJ-XZn]{_QUOTE}{_LETTER}{{2}}{_ALNUM}*"),
    ("word", rf"(?![yY]['\u2019]){_LETTER}*[aeiouyAEIOUY]{_APOSTROPHE}[aeiouA-Z]{_LETTER}*"),
    ("word", r"[A-Z]+(?:&[A-Z]+)+|[Cc]\+\+|[CcFf]#"),
    ("word", rf"{_APOSTROPHE}[nN]{_APOSTROPHE}?(?!{_ALNUM})|{_APOSTROPHE}(?:[eE]m|[tT]ill?|[cC]ause)(?!{_ALNUM})"),
    ("word", rf"'[0-9]0s|'[0-9][0-9](?![0-9])|(?:[Oo]l|[Dd]unkin|[dDlLyYjJ]){_APOSTROPHE}|[Cc]{_APOSTROPHE}mon"),
    ("abbreviation", rf"({_MAY_END}\.){_END}[\s\S]{{2}}"),
    ("word", rf"{_MAY_END}\."),
    ("word", rf"(?:(?i:{_NEVER_SENTENCE_END})|[Mm][ft]g)\."),
    ("word", rf"(?i:{_BEFORE_NUMBERS})\.(?=\s?[0-9])"),
    ("abbreviation", rf"([A-Za-z](?:\.[A-Za-z])+\.){_START}\s[\s\S]"),
    ("word", r"[A-Za-z](?:\.[A-Za-z])+\."),
    ("word", rf"([A-Za-z])\.{_START}\s"),
    ("word", r"[A-Za-z]\."),
    ("smiley", r"[<>]?[:;=][-o*']?[()DPdpO3\\{@|\[\]]"),
    ("smiley", r"[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)"),
    ("dots", "\\.{3,5}|(?:\\.[ \u00a0]){2,4}\\.|\u2026"),
    ("word", r"[?!]+|_+|\*+"),
    ("dashes", "-{2,4}(?!-)|[\u0096\u0097\u2013-\u2015]|&(?:MD|mdash|ndash);"),
    ("word", "-+"),
    ("open", "\"(?=[A-Za-z0-9$])|&quot;(?=[A-Za-z0-9$])|[\u201c\u00ab\u2039\u0093]"),
    ("close", "\"|&quot;|[\u201d\u00bb\u203a\u0094]|''"),
    ("apostrophe", rf"({_QUOTE})(?=[A-Za-z][^ \t\n])"),
    ("word", "``|[<]{2}|[>]{2}"),
    ("word", r"&(?:amp|lt|gt);"),
    ("word", r"\S"),
]
"""What a match is, and how it looks."""

_MATCHERS = [(kind, re.compile(pattern).match) for kind, pattern in _RULES]
_CHUNK = re.compile(r"\S+")
_ALONE = re.compile(r"[^\d<(+.\u200b\u2026]*(?:(?<=[a-z])\.)?\Z").match
"""What is written without a space and cannot be one token with what comes after a space."""
_PLAIN_WORD = re.compile(r"(?!(?:cannot|gonna|gotta|lemme|gimme|wanna)\Z)[a-z]+\Z").match
_NEXT = ("\nA x", "\na x", " The x", "  x", " 5 x")
"""What may come next, as far as a rule looks."""
_SHOWN = {
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", "\u00a3": "#", "\u20ac": "$",
    "\u00a2": "cents", "\u00bd": "1/2", "\u00bc": "1/4", "\u00be": "3/4", "\u2153": "1/3", "\u2154": "2/3",
    "&amp;": "&", "&lt;": "<", "&gt;": ">", "\u2018": "`", "\u2019": "'", "\u0091": "`", "\u0092": "'",
}
_DROPPED = "\u200b\u2010\u2011\u20b9"
"""The program does not know them, nor what is beyond 16 bits, and leaves them out."""
_KINDS = {"dots": "...", "dashes": "--", "open": "``", "close": "''", "apostrophe": "`"}
_BRACKETS = re.compile(r"[()\[\]{}]")


def penn_words(captions: Sequence[str]) -> list[list[str]]:
    """Tokens of each caption, lower case, without `PUNCTUATION`: what BLEU and its like compare."""
    return [[token for token in tokens if token not in PUNCTUATION] for tokens in penn_tokens(captions)]


def penn_tokens(captions: Sequence[str]) -> list[list[str]]:
    """All tokens of each caption, lower case."""
    out: list[list[str]] = [[] for _ in captions]
    text = "\n".join(caption.replace("\n", " ").replace("\u00ad", "") for caption in captions) + "\n"
    line = 0
    for token, begins, ends in _tokens(text):
        line += text.count("\n", ends, begins)
        out[line].append(token)
    return out


def _tokens(text: str) -> Iterator[tuple[str, int, int]]:
    """Each token, where it begins, and where the one before it began."""
    place = last = 0
    while found := _CHUNK.search(text, place):
        place, chunk = found.start(), found.group()
        alone = _of_chunk(chunk) if _ALONE(chunk) else None
        tokens, end = _longest(text, place) if alone is None else (list(alone), found.end())
        for token in tokens:
            yield token, place, last
            last = place
        place = end


@lru_cache(1 << 16)
def _of_chunk(chunk: str) -> tuple[str, ...] | None:
    """Tokens of a text without spaces; None where they depend on what follows it."""
    if _PLAIN_WORD(chunk):
        return (chunk,)
    answers = set()
    for after in _NEXT if chunk.endswith(".") else _NEXT[:1]:
        place = 0
        tokens: list[str] = []
        while place < len(chunk):
            more, place = _longest(chunk + after, place)
            tokens += more
        answers.add((tuple(tokens), place))
    return answers.pop()[0] if len(answers) == 1 else None


def _longest(text: str, place: int) -> tuple[list[str], int]:
    """The tokens of the longest match at ``place``, and where it ends."""
    longest, kind, end = -1, "", place
    for name, match in _MATCHERS:
        if (found := match(text, place)) and found.end() > longest:
            longest, kind = found.end(), name
            group = next((g for g in found.groups() if g is not None), None)
            end = place + len(found.group() if group is None else group)
    if (text[place] > "\uffff" or text[place] in _DROPPED) and end == place + 1:
        return [], end
    return [_shown(text[place:end], kind), *(["."] if kind == "abbreviation" else [])], end


def _shown(token: str, kind: str) -> str:
    """How the program prints a token."""
    if kind in _KINDS:
        return _KINDS[kind]
    if token in _SHOWN:
        return _SHOWN[token]
    shown = token.lower().replace("\u2019", "'").replace("&apos;", "'").replace(" ", "\u00a0")
    return _BRACKETS.sub(lambda found: _SHOWN[found.group()], shown)
