"""Read PTX: modules, variables and functions, registers resolved by scope, device functions put in place of their calls.

The text is what numba-cuda's compiler makes (PTX ISA 8.x). Whatever is not understood is a `PtxError` that quotes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SIZES = {
    "pred": 0, "b8": 1, "u8": 1, "s8": 1, "b16": 2, "u16": 2, "s16": 2, "b32": 4, "u32": 4, "s32": 4, "f32": 4,
    "b64": 8, "u64": 8, "s64": 8, "f64": 8,
}  # fmt: skip
LETTER = {"u": "u", "s": "i", "b": "u", "f": "f"}
SPECIAL = [f"%{name}.{axis}" for name in ("tid", "ntid", "ctaid", "nctaid") for axis in "xyz"] + ["%laneid"]
_DEEPEST_CALL = 8
_GUARD = 256  # bytes between the variables of a space, so that a step across an end is seen


class PtxError(Exception):
    """PTX that this reader or the interpreter does not know."""


def dtype_of(kind: str) -> np.dtype[Any]:
    """Return the NumPy type of a PTX type."""
    return np.dtype("?") if kind == "pred" else np.dtype(f"{LETTER[kind[0]]}{SIZES[kind]}")


@dataclass(frozen=True)
class Register:
    """A register: its slot among those of its size in bytes (0: predicate)."""

    size: int
    slot: int
    name: str = field(compare=False)


@dataclass(frozen=True)
class Immediate:
    """A number as written."""

    text: str


@dataclass(frozen=True)
class Symbol:
    """The address of a variable."""

    variable: Variable


@dataclass(frozen=True)
class Address:
    """A place in memory: base and constant offset in bytes."""

    base: Register | Symbol | str  # str: a parameter of the entry
    offset: int


@dataclass(frozen=True)
class Vector:
    """Several operands in braces."""

    parts: tuple[Operand, ...]


Operand = Register | Immediate | Symbol | Address | Vector | str


@dataclass(frozen=True)
class Variable:
    """A variable of a state space; `start` is its offset within shared or local memory."""

    name: str
    space: str
    align: int
    size: int
    content: bytes | None
    start: int = 0


@dataclass
class Instruction:
    """A statement with resolved operands."""

    opcode: str
    modifiers: tuple[str, ...]
    operands: tuple[Operand, ...]
    predicate: Register | None
    negated: bool
    source: str
    targets: tuple[str, ...] = ()  # labels that it may jump to
    place: tuple[str, int] = ("", 0)  # its function, and its number among the statements of that


@dataclass
class Function:
    """A function as text."""

    name: str
    is_entry: bool
    returns: list[tuple[str, str, int]]  # name, type, bytes
    parameters: list[tuple[str, str, int]]
    body: str


@dataclass
class Code:
    """An entry with all that it calls in one list: instructions and labels (str)."""

    entry: str
    parameters: list[tuple[str, str, int]]
    items: list[Instruction | str]
    slots: dict[int, int]  # registers of each size
    special: dict[str, Register]
    carry: Register
    variables: list[Variable]
    shared_size: int
    local_size: int


def read(text: str, entry: str) -> Code:
    """Return the code of an entry.

    Raises
    ------
    PtxError
        Where the text is not understood, or has no such entry.
    """
    functions, variables = _module(text)
    if entry not in functions or not functions[entry].is_entry:
        raise PtxError(f"The PTX has no entry '{entry}'; it has {', '.join(n for n, f in functions.items() if f.is_entry)}.")
    return _Linker(functions, variables).link(functions[entry])


# -- module -------------------------------------------------------------------------------------------------------------------
_FUNCTION = re.compile(
    r"(?:\.(?:visible|weak|extern)\s+)*\.(entry|func)\s*(?:\.noinline\s*)?(?:\(([^)]*)\)\s*)?([\w$]+)\s*(?:\(([^)]*)\))?\s*([^{;]*)([{;])"
)
_VARIABLE = re.compile(
    r"(?:\.(?:visible|weak|extern|common)\s+)*\.(global|const|shared|local)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)\s*"
    r"(?:\[(\d*)\])?\s*(?:=\s*(\{[^}]*\}|[^;]+))?\s*;"
)
_PARAMETER_DECLARATION = re.compile(
    r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+(?:\.ptr\s+(?:\.\w+\s+|\.align\s+\d+\s+)*)?([\w$]+)\s*(?:\[(\d+)\])?"
)


def _module(text: str) -> tuple[dict[str, Function], list[Variable]]:
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"^\s*\.(version|target|address_size)\s[^\n]*$", "", text, flags=re.MULTILINE)
    functions: dict[str, Function] = {}
    variables: list[Variable] = []
    text, at = text.strip(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif found := _VARIABLE.match(text, at):
            variables.append(_variable(found))
            at = found.end()
        elif found := _FUNCTION.match(text, at):
            kind, returns, name, parameters, extra, end = found.groups()
            if directives := re.sub(r"\.(maxntid|reqntid|minnctapersm|maxnreg|noreturn)[\s\d,]*", "", extra).strip():
                raise PtxError(f"Unknown directive of {name}: '{directives}'.")
            at = found.end()
            if end == "{":
                stop = _closing(text, at)
                functions[name] = Function(
                    name, kind == "entry", _parameters(returns), _parameters(parameters), text[at : stop - 1]
                )
                at = stop
        else:
            raise PtxError(f"Unknown declaration: '{text[at : at + 200].splitlines()[0]}'.")
    return functions, variables


def _closing(text: str, at: int) -> int:
    depth = 1
    for brace in re.finditer(r"[{}]", text[at:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return at + brace.end()
    raise PtxError("A brace is not closed.")


def _parameters(text: str | None) -> list[tuple[str, str, int]]:
    made = []
    for part in (text or "").split(","):
        if not part.strip():
            continue
        found = _PARAMETER_DECLARATION.fullmatch(part.strip())
        if found is None:
            raise PtxError(f"Unknown parameter: '{part.strip()}'.")
        made.append((found[2], found[1], SIZES[found[1]] * int(found[3] or 1)))
    return made


def _variable(found: re.Match[str], start: int = 0) -> Variable:
    space, align, kind, name, count, values = found.groups()
    if kind not in SIZES or count == "":
        raise PtxError(f"Unknown variable: '{found[0][:200]}'.")
    size, content = SIZES[kind] * int(count or 1), None
    if space in ("global", "const"):
        content = bytes(size)
        if values:
            numbers = [v.strip() for v in values.strip("{} \n").split(",")]
            packed = b"".join(_packed(v, kind, found[0]) for v in numbers)
            content = packed + bytes(size - len(packed))
    elif values:
        raise PtxError(f"Unknown initialiser: '{found[0][:200]}'.")
    return Variable(name, space, int(align or SIZES[kind]), size, content, start)


def _packed(value: str, kind: str, source: str) -> bytes:
    if found := re.fullmatch(r"0[fFdD]([0-9a-fA-F]+)", value):
        number = int(found[1], 16)
    elif re.fullmatch(r"-?(0[xX][0-9a-fA-F]+|\d+)U?", value):
        number = int(value.rstrip("U"), 0)
    else:
        raise PtxError(f"Unknown initialiser '{value}' in '{source[:200]}'.")
    return (number % (1 << 8 * SIZES[kind])).to_bytes(SIZES[kind], "little")


# -- functions ----------------------------------------------------------------------------------------------------------------
_STATEMENT = re.compile(r"(?:@(!?)([%\w$.]+)\s+)?([a-z][\w]*)((?:[.:]+\w+)*)\s*(.*)", re.DOTALL)
_OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\([^)]*\)|[^,\s]+(?:\s*\|\s*[^,\s]+)?")
_REGISTERS = re.compile(r"\.reg\s+\.(\w+)\s+(.*)", re.DOTALL)
_PLACE = re.compile(r"\[\s*([%\w$.]+)\s*(?:\+\s*(-?\d+))?\s*\]")
_NUMBER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)U?|0[fFdD][0-9a-fA-F]+")
# What a name stands for: the parameters of calls are registers by offset, those of the entry stay names.
Named = Register | Variable | dict[int, Register] | str
Scope = dict[str, Named]


class _Linker:
    """Puts an entry and its callees into one list of instructions."""

    def __init__(self, functions: dict[str, Function], variables: list[Variable]) -> None:
        self.functions = functions
        self.slots = dict.fromkeys((0, 2, 4, 8), 0)
        self.items: list[Instruction | str] = []
        self.end = {"shared": _GUARD, "local": _GUARD}
        self.variables: list[Variable] = []
        self.calls = 0
        self.special = {name: self._register(4, name) for name in SPECIAL}
        self.carry = self._register(0, "the carry flag")
        self.globals: Scope = dict(self.special)
        for variable in variables:
            self.globals[variable.name] = self._placed(variable)

    def link(self, entry: Function) -> Code:
        scope: Scope = {name: name for name, _, _ in entry.parameters}
        self._function(entry, scope, "", "", ())
        return Code(
            entry.name, entry.parameters, self.items, self.slots, self.special, self.carry, self.variables, self.end["shared"],
            self.end["local"],
        )  # fmt: skip

    def _register(self, size: int, name: str) -> Register:
        self.slots[size] += 1
        return Register(size, self.slots[size] - 1, name)

    def _placed(self, variable: Variable) -> Variable:
        if variable.space in self.end:
            start = -(-self.end[variable.space] // 256) * 256
            self.end[variable.space] = start + variable.size + _GUARD
            variable = Variable(variable.name, variable.space, variable.align, variable.size, None, start)
        self.variables.append(variable)
        return variable

    def _function(self, function: Function, outer: Scope, prefix: str, back: str, stack: tuple[str, ...]) -> None:
        """Append a function; `outer` holds what its parameters are bound to, `back` the label behind the call."""
        if function.name in stack or len(stack) > _DEEPEST_CALL:
            raise PtxError(f"The function {function.name} calls itself.")
        stack = (*stack, function.name)
        scopes: list[Scope] = [self.globals, outer, {}]
        tables: dict[str, tuple[str, ...]] = {}
        table_name = ""
        for number, (kind, text) in enumerate(_statements(function.body)):
            if kind == "{":
                scopes.append({})
            elif kind == "}":
                scopes.pop()
            elif kind == "label":
                table_name = text
                self.items.append(prefix + text)
            elif text.startswith(".branchtargets"):
                tables[table_name] = tuple(prefix + t.strip() for t in text.removeprefix(".branchtargets").split(","))
            elif text.startswith("."):
                self._declare(text, scopes[-1])
            else:
                self._statement(text, scopes, prefix, back, stack, number)
        for item in self.items:
            if isinstance(item, Instruction) and item.opcode == "brx" and item.targets[0] in {prefix + t for t in tables}:
                item.targets = tables[item.targets[0].removeprefix(prefix)]
        if len(scopes) != 3:
            raise PtxError(f"A scope of {function.name} is not closed.")

    def _declare(self, text: str, scope: Scope) -> None:
        if found := _REGISTERS.fullmatch(text):
            if found[1] not in SIZES or SIZES[found[1]] == 1:
                raise PtxError(f"Unknown register type: '{text}'.")
            for name in (n.strip() for n in found[2].split(",")):
                if many := re.fullmatch(r"([%\w$]+)<(\d+)>", name):
                    for k in range(int(many[2])):
                        scope[f"{many[1]}{k}"] = self._register(SIZES[found[1]], f"{many[1]}{k}")
                else:
                    scope[name] = self._register(SIZES[found[1]], name)
        elif found := _VARIABLE.fullmatch(text + ";"):
            scope[found[4]] = self._placed(_variable(found))
        elif found := _PARAMETER_DECLARATION.fullmatch(text):
            scope[found[2]] = {}
        elif not text.startswith(".pragma"):
            raise PtxError(f"Unknown directive: '{text}'.")

    def _statement(self, text: str, scopes: list[Scope], prefix: str, back: str, stack: tuple[str, ...], number: int) -> None:
        found = _STATEMENT.fullmatch(text)
        if found is None:
            raise PtxError(f"Unknown statement: '{text}'.")
        bang, predicate, opcode, suffix, rest = found.groups()
        modifiers = tuple(m for m in re.split(r"\.|(?<=\w)(?=::)", suffix) if m)
        words = _OPERAND.findall(rest)
        guard = self._resolve(predicate, scopes, text) if predicate else None
        if guard is not None and not (isinstance(guard, Register) and guard.size == 0):
            raise PtxError(f"The guard is no predicate: '{text}'.")
        made = Instruction(opcode, modifiers, (), guard, bool(bang), text, place=(stack[-1], number))
        if opcode == "call":
            self._call(made, words, scopes, prefix, stack)
            return
        if opcode == "bra":
            made.targets = (prefix + words[0],)
        elif opcode == "brx":
            made.targets, made.operands = (prefix + words[1],), (self._resolve(words[0], scopes, text),)
        elif opcode == "ret" and back:
            made.opcode, made.targets = "bra", (back,)
        else:
            made.operands = tuple(self._operand(w, scopes, text, modifiers) for w in words)
        self.items.append(made)

    def _call(self, call: Instruction, words: list[str], scopes: list[Scope], prefix: str, stack: tuple[str, ...]) -> None:
        """Put the callee in place of the call: its parameters are those of the caller."""
        returned = _names(words.pop(0)) if words[0].startswith("(") else []
        name = words.pop(0)
        given = _names(words.pop(0)) if words else []
        callee = self.functions.get(name)
        if callee is None or words or call.predicate is not None or set(call.modifiers) - {"uni"}:
            raise PtxError(f"Unknown call: '{call.source}'.")
        if (len(returned), len(given)) != (len(callee.returns), len(callee.parameters)):
            raise PtxError(f"The call does not fit its function: '{call.source}'.")
        outer: Scope = {}
        for mine, (theirs, _, _) in zip(returned + given, callee.returns + callee.parameters, strict=True):
            bound = _find(mine, scopes)
            if not isinstance(bound, dict):
                raise PtxError(f"The argument '{mine}' is no parameter: '{call.source}'.")
            outer[theirs] = bound
        self.calls += 1
        inner, back = f"{prefix}{name}#{self.calls}:", f"{prefix}back#{self.calls}"
        before = len(self.variables)
        entered = Instruction("enter", (), (), None, False, call.source, place=call.place)
        self.items.append(entered)
        self._function(callee, outer, inner, back, stack)
        entered.operands = tuple(Symbol(v) for v in self.variables[before:] if v.space == "local")
        self.items.append(back)

    def _operand(self, word: str, scopes: list[Scope], source: str, modifiers: tuple[str, ...]) -> Operand:
        if word.startswith("{"):
            return Vector(tuple(self._resolve(w.strip(), scopes, source) for w in word.strip("{}").split(",")))
        if not word.startswith("["):
            if "|" in word:
                return Vector(tuple(self._resolve(w.strip(), scopes, source) for w in word.split("|")))
            return self._resolve(word, scopes, source)
        found = _PLACE.fullmatch(word)
        if found is None:
            raise PtxError(f"Unknown address '{word}': '{source}'.")
        base, offset = _find(found[1], scopes), int(found[2] or 0)
        if isinstance(base, dict | str) and "param" not in modifiers:
            raise PtxError(f"A parameter is used outside its space: '{source}'.")
        if isinstance(base, dict):
            return self._parameter(found[1], base, offset, modifiers, source)
        if base is None:
            raise PtxError(f"Unknown name '{found[1]}': '{source}'.")
        return Address(Symbol(base) if isinstance(base, Variable) else base, offset)

    def _parameter(
        self, name: str, held: dict[int, Register], offset: int, modifiers: tuple[str, ...], source: str
    ) -> Register:
        """Return the register that stands for what a call hands over at an offset of a parameter."""
        size = SIZES.get(modifiers[-1], 0)
        if size not in (4, 8) or modifiers[-2].startswith("v"):
            raise PtxError(f"Unknown access to a parameter: '{source}'.")
        if offset not in held:
            held[offset] = self._register(size, f"{name}+{offset}")
        if held[offset].size != size:
            raise PtxError(f"A parameter is read as another type than it was written: '{source}'.")
        return held[offset]

    def _resolve(self, word: str, scopes: list[Scope], source: str) -> Operand:
        if word == "_":
            return word
        found = _find(word, scopes)
        if isinstance(found, Register):
            return found
        if isinstance(found, Variable):
            return Symbol(found)
        if _NUMBER.fullmatch(word):
            return Immediate(word)
        raise PtxError(f"Unknown operand '{word}': '{source}'.")


def _names(word: str) -> list[str]:
    return [w.strip() for w in word.strip("()").split(",") if w.strip()]


def _find(name: str, scopes: list[Scope]) -> Named | None:
    for scope in reversed(scopes):
        if name in scope:
            return scope[name]
    return None


def _statements(body: str) -> Iterator[tuple[str, str]]:
    """Yield ("{", ""), ("}", ""), ("label", name) and ("statement", text) in order."""
    pattern = re.compile(r"\s*(?:([{}])|([\w$%]+)\s*:(?!:)|([^;{}][^;]*);)")
    at, body = 0, body.rstrip()
    while at < len(body):
        found = pattern.match(body, at)
        if found is None:
            raise PtxError(f"Unknown statement: '{body[at : at + 100].strip()}'.")
        if found[1]:
            yield found[1], ""
        elif found[2]:
            yield "label", found[2]
        else:
            yield "statement", " ".join(found[3].split())
        at = found.end()
