"""The statements about publications, in PostgreSQL's words, read from the tokens that sqlglot finds in a text.

    CREATE PUBLICATION p FOR ALL TABLES
    CREATE PUBLICATION p FOR object [, ...]
    ALTER PUBLICATION p { ADD | DROP | SET } object [, ...]
    ALTER PUBLICATION p RENAME TO q
    DROP PUBLICATION [ IF EXISTS ] p [, ...] [ CASCADE | RESTRICT ]

An object is `TABLE name [, ...]`, `[ ALL ] TABLES IN SCHEMA name [, ...]` or `[ ALL ] TABLES IN DATABASE name
[, ...]`. sqlglot has no grammar of its own for these statements: the list of tokens is read here, and what does
not fit is refused at its token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from isthmus.core.errors import InputError, suggestion
from isthmus.recovery.objects import Object

LONGEST = 1_000_000
_WORDS = {"TABLE": 3, "SCHEMA": 2, "DATABASE": 1}


@dataclass(frozen=True, slots=True)
class Create:
    """CREATE PUBLICATION."""

    name: str
    objects: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Alter:
    """ALTER PUBLICATION … ADD, DROP or SET objects."""

    name: str
    action: Literal["ADD", "DROP", "SET"]
    objects: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Rename:
    """ALTER PUBLICATION … RENAME TO."""

    name: str
    to: str


@dataclass(frozen=True, slots=True)
class Drop:
    """DROP PUBLICATION."""

    names: tuple[str, ...]
    if_exists: bool = False


Statement = Create | Alter | Rename | Drop


def parse(text: str, database: str = "") -> tuple[Statement, ...]:
    """Read statements, parted by semicolons. A name that leaves its database out belongs to `database`.

    Raises InputError with the line and column of the first token that does not fit.
    """
    import sqlglot  # here: 9 MB and a fifth of a second that a site at work has no use for

    if len(text) > LONGEST:
        raise InputError(f"the statement has {len(text)} characters, more than {LONGEST}", "shorten it")
    try:
        tokens = sqlglot.tokenize(text, dialect="postgres")
    except sqlglot.errors.TokenError as error:
        raise InputError(f"syntax error: {_unclosed(str(error))}", "close what was opened") from error
    reader = _Reader(text, tokens, database)
    found = []
    while not reader.ended():
        if not reader.take(";"):
            found.append(reader.statement())
    if not found:
        raise InputError("there is no statement", "write one such as: CREATE PUBLICATION p FOR ALL TABLES")
    return tuple(found)


def written(name: str, objects: tuple[Object, ...]) -> str:
    """Write a publication as the statement that makes it; `parse` reads it back.

    Raises ValueError where it names nothing.
    """
    if not objects:
        raise ValueError(f"the publication {name} names nothing")
    if Object() in objects:
        return f"CREATE PUBLICATION {name} FOR ALL TABLES;"
    said = []
    for word, opening in (
        ("DATABASE", "ALL TABLES IN DATABASE"),
        ("SCHEMA", "ALL TABLES IN SCHEMA"),
        ("TABLE", "TABLE"),
    ):
        names = [str(item) for item in objects if len(item.parts) == _WORDS[word]]
        if names:
            said.append(f"{opening} {', '.join(names)}")
    return f"CREATE PUBLICATION {name} FOR {', '.join(said)};"


class _Reader:
    """Goes through the tokens of one text."""

    def __init__(self, text: str, tokens: list[Any], database: str) -> None:
        self._text = text
        self._tokens = tokens
        self._database = database
        self._at = 0

    def ended(self) -> bool:
        return self._at >= len(self._tokens)

    def statement(self) -> Statement:
        verb = self.need("CREATE", "ALTER", "DROP")
        self.need("PUBLICATION")
        if verb == "DROP":
            found: Statement = self._drop()
        else:
            name = self.name()
            found = self._create(name) if verb == "CREATE" else self._alter(name)
        if not self.ended() and not self.take(";"):
            self.refuse("the end of the statement")
        return found

    def _create(self, name: str) -> Create:
        self.need("FOR")
        if self._word(0) == "ALL" and self._word(1) == "TABLES" and self._word(2) != "IN":
            self._at += 2
            return Create(name, (Object(),))
        return Create(name, self.objects())

    def _alter(self, name: str) -> Statement:
        action = self.need("ADD", "DROP", "SET", "RENAME")
        if action == "RENAME":
            self.need("TO")
            return Rename(name, self.name())
        if action == "ADD":
            return Alter(name, "ADD", self.objects())
        return Alter(name, "DROP" if action == "DROP" else "SET", self.objects())

    def _drop(self) -> Drop:
        if_exists = self._word(0) == "IF" and self._word(1) == "EXISTS"
        self._at += 2 if if_exists else 0
        names = [self.name()]
        while self.take(","):
            names.append(self.name())
        if not self.take("CASCADE"):
            self.take("RESTRICT")
        return Drop(tuple(names), if_exists)

    def objects(self) -> tuple[Object, ...]:
        """Read objects up to the end of the statement, each once, in their order."""
        found: dict[Object, None] = {}
        while True:
            parts = self._opening()
            found[self.object(parts)] = None
            while self._word(0) == "," and not self._opens(1):
                self._at += 1
                found[self.object(parts)] = None
            if not self.take(","):
                return tuple(found)

    def _opens(self, ahead: int) -> bool:
        """Tell whether an object of another kind begins at a token, and not a name that reads like its word."""
        word, after = self._word(ahead), self._word(ahead + 1)
        return (
            (word == "ALL" and after == "TABLES")
            or (word == "TABLES" and after == "IN")
            or (word == "TABLE" and after not in (".", ",", ";", ""))
        )

    def _opening(self) -> int:
        """Read what begins objects of a kind, and return how many parts their names have."""
        if self.take("TABLE"):
            return _WORDS["TABLE"]
        if self.take("ALL"):
            self.need("TABLES")
        elif not self.take("TABLES"):
            self.refuse("TABLE, ALL TABLES IN SCHEMA or ALL TABLES IN DATABASE")
        self.need("IN")
        return _WORDS[self.need("SCHEMA", "DATABASE")]

    def object(self, parts: int) -> Object:
        """Read a name of up to `parts` parts. Refuses it at its first token where it names no object."""
        first = self._at
        names = [self.name()]
        while self.take("."):
            names.append(self.name())
        if parts > 1 and len(names) == parts - 1 and self._database:
            names.insert(0, self._database)
        if len(names) != parts:
            self._at = first
            self.refuse("a name such as " + ".".join(("database", "schema", "table")[:parts]))
        return Object(*names)

    def name(self) -> str:
        """Read one part of a name. What is not quoted is taken in lower case, as PostgreSQL does."""
        if self.ended():
            self.refuse("a name")
        token = self._tokens[self._at]
        quoted = token.token_type.name == "IDENTIFIER"
        if not quoted and self._text[token.start : token.end + 1] != token.text:
            self.refuse("a name")  # a string
        name = str(token.text) if quoted else str(token.text).lower()
        try:
            Object(name)
        except InputError as error:
            if name and not quoted and not (name[0].isalpha() or name[0] == "_"):
                self.refuse("a name")
            raise InputError(f"{self._place()}: {error.what}", error.hint) from error
        if not name:
            self.refuse("a name")
        self._at += 1
        return name

    def need(self, *words: str) -> str:
        """Read one of these words and return it."""
        word = self._word(0)
        if word not in words:
            self.refuse(" or ".join(words), words)
        self._at += 1
        return word

    def take(self, word: str) -> bool:
        """Read this word where it stands next."""
        if self._word(0) != word:
            return False
        self._at += 1
        return True

    def _word(self, ahead: int) -> str:
        at = self._at + ahead
        if at >= len(self._tokens) or self._tokens[at].token_type.name in ("IDENTIFIER", "STRING"):
            return ""
        return str(self._tokens[at].text).upper()

    def refuse(self, wanted: str, words: tuple[str, ...] = ()) -> NoReturn:
        """Say what should have stood where the reader is."""
        if self.ended():
            raise InputError(f"{self._place()}: the statement ends where {wanted} should stand", "complete it")
        found = str(self._tokens[self._at].text)
        hint = suggestion(found.upper(), words) if words else "see CREATE, ALTER and DROP PUBLICATION"
        raise InputError(f"{self._place()}: {wanted} should stand where {found[:40]!r} stands", hint)

    def _place(self) -> str:
        start = len(self._text.rstrip()) if self.ended() else int(self._tokens[self._at].start)
        line = self._text.count("\n", 0, start) + 1
        return f"line {line}, column {start - self._text.rfind(chr(10), 0, start)}"


def _unclosed(message: str) -> str:
    return message.splitlines()[0] if message else "the text cannot be read"
