"""What a formula means, and which formulas compute a function: by rewriting and by trying.

A text is read by replacing its innermost brackets by their value again and again, not by a grammar
that calls itself. Formulas are enumerated as the docstrings say, all of them, and then grouped.
"""

from itertools import combinations, product

SPELLINGS = {"AND": "&", "OR": "|", "XOR": "^", "NOT": "~", "TRUE": "1", "FALSE": "0", "&&": "&", "||": "|", "!": "~",
             "∧": "&", "∨": "|", "⊕": "^", "¬": "~"}  # fmt: skip
COMPARISONS = (">", ">=", "<", "<=", "==", "!=")
LEVELS = (COMPARISONS, ("&",), ("^",), ("|",))
SIGNS = ("&&", "||", ">=", "<=", "==", "!=", *"&|^~!()<>,01∧∨⊕¬")
CALLS = ("AND", "OR", "XOR", "NAND", "NOR", "XNOR", "NOT", "IMPLIES", "NIMP")
INPUTS = {"a": 0, "b": 1, "c": 2, "d": 3, "x": 0, "y": 1, "z": 2}
JOINED = {
    "&": lambda a, b: a and b,
    "|": lambda a, b: a or b,
    "^": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


class NoFormulaError(Exception):
    """The text means nothing."""


def meaning(text, n_inputs):
    """The outputs' truth tables as lists of bits; None where the text is not a formula over these
    inputs.
    """
    rows = list(product((False, True), repeat=n_inputs))
    try:
        of_rows = [_on_row(_words(text), row) for row in rows]
    except NoFormulaError:
        return None
    return [[int(values[k]) for values in of_rows] for k in range(len(of_rows[0]))]


def _words(text):
    """The text's words and signs, character by character."""
    words, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        end = at
        while end < len(text) and (text[end].isalnum() or text[end] == "_"):
            end += 1
        if end == at:
            end = at + 2 if text[at : at + 2] in SIGNS else at + 1
        words.append(text[at:end])
        at = end
    if not all(word in SIGNS or word[0].isalpha() or word[0] == "_" for word in words):
        raise NoFormulaError
    return words


def _on_row(words, row):
    """The outputs' values on one row; values are True and False, everything else is text."""
    words = list(words)
    while ")" in words:
        end = words.index(")")
        if "(" not in words[:end]:
            raise NoFormulaError
        start = max(k for k in range(end) if words[k] == "(")
        values = _listed(words[start + 1 : end], row)
        if start and _is_call(words, start - 1):
            start -= 1
            values = [_called(words[start].upper(), values)]
        if len(values) != 1:
            raise NoFormulaError
        words[start : end + 1] = values
    return _listed(words, row)


def _is_call(words, at):
    """Whether a gate's name stands where a value may begin."""
    if isinstance(words[at], bool) or words[at].upper() not in CALLS:
        return False
    if words[at].upper() == "NOT":
        return False  # a sign, before brackets as everywhere
    return at == 0 or _is_sign(words[at - 1])


def _is_sign(word):
    """Whether a value may follow: after an operator, a comma or an opening bracket."""
    if isinstance(word, bool):
        return False
    sign = SPELLINGS.get(word.upper(), word)
    return sign in ("(", ",", "~") or sign in JOINED


def _called(name, values):
    if name in ("IMPLIES", "NIMP"):
        if len(values) != 2:
            raise NoFormulaError
        implies = values[1] or not values[0]
        return implies if name == "IMPLIES" else not implies
    whole = {"A": all(values), "O": any(values), "X": sum(values) % 2 == 1}
    turned = name.startswith(("NA", "NO", "XN"))
    return whole[name[0] if name[0] != "N" else name[1]] != turned


def _listed(words, row):
    """The values of what stands between the commas."""
    parts, part = [], []
    for word in words:
        if word == ",":
            parts.append(part)
            part = []
        else:
            part.append(word)
    return [_flat(one, row) for one in [*parts, part]]


def _flat(words, row):
    """The value of a text without brackets: signs from the tightest to the loosest."""
    words = [_value(word, row) for word in words]
    for k in reversed(range(len(words) - 1)):
        if words[k] == "~" and isinstance(words[k + 1], bool):
            words[k : k + 2] = [not words[k + 1]]
    for signs in LEVELS:
        k = 1
        while k < len(words) - 1:
            left, sign, right = words[k - 1 : k + 2]
            both = isinstance(left, bool) and isinstance(right, bool)
            if both and not isinstance(sign, bool) and sign in signs:
                words[k - 1 : k + 2] = [bool(JOINED[sign](left, right))]
            else:
                k += 1
    if len(words) != 1 or not isinstance(words[0], bool):
        raise NoFormulaError
    return words[0]


def _value(word, row):
    """An input's or a constant's value; a sign as it is."""
    if isinstance(word, bool):
        return word
    sign = SPELLINGS.get(word.upper(), word)
    if sign in ("0", "1"):
        return sign == "1"
    if sign in JOINED or sign == "~":
        return sign
    index = INPUTS.get(word.lower())
    if index is None and word[0] in "xX" and word[1:].isdigit() and len(word) <= 3:
        index = int(word[1:])
    if index is None or index >= len(row):
        raise NoFormulaError
    return row[index]


# Formulas up to a depth. A tree is ("x", index), ("~", tree) or (sign, tree, tree).


def written(text):
    """A formula of ~, & and | with every part in brackets -> its tree."""
    text = text.strip()
    depth, cuts = 0, []
    for k, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and character in "&|":
            cuts.append(k)
    if cuts:
        (k,) = cuts  # one operator only: anything else would need brackets
        return (text[k], written(text[:k]), written(text[k + 1 :]))
    if text[0] == "~":
        return ("~", written(text[1:]))
    return written(text[1:-1]) if text[0] == "(" else ("x", int(text[1:]))


def table(tree, n_inputs):
    """The tree's bits on all rows."""
    rows = list(product((0, 1), repeat=n_inputs))
    if tree[0] == "x":
        return tuple(row[tree[1]] for row in rows)
    parts = [table(part, n_inputs) for part in tree[1:]]
    if tree[0] == "~":
        return tuple(1 - bit for bit in parts[0])
    join = min if tree[0] == "&" else max
    return tuple(map(join, *parts))


def up_to_negation(tree):
    """(form, sign): the same form for trees that differ by order and by negations inside.

    A gate of two parts that is not a parity differs on one of the four combinations of its parts from
    the other three: which combination of which parts is its form, and the value there its sign.
    """
    if tree[0] == "x":
        return tree[1], 1
    if tree[0] == "~":
        form, sign = up_to_negation(tree[1])
        return form, 1 - sign
    odd = 1 if tree[0] == "&" else 0  # the value of both parts where the gate differs
    parts = []
    for part in tree[1:]:
        form, sign = up_to_negation(part)
        parts.append((form, odd if sign else 1 - odd))
    return frozenset(parts), odd


def free(wanted, n_inputs, depth):
    """The forms of all trees up to so many gates deep that compute the wanted table.

    Gates are AND and OR of two different parts, each perhaps negated; of the last level only what
    computes the table is kept.
    """
    known = {("x", i): table(("x", i), n_inputs) for i in range(n_inputs)}
    found = {i for i in range(n_inputs) if known["x", i] in (wanted, _turned(wanted))}
    for level in range(1, depth + 1):
        made = {}
        for (a, bits_a), (b, bits_b) in combinations(list(known.items()), 2):
            for sign_a, sign_b in product((0, 1), repeat=2):
                bits = tuple(
                    min(x ^ sign_a, y ^ sign_b) for x, y in zip(bits_a, bits_b, strict=True)
                )
                if level < depth or bits in (wanted, _turned(wanted)):
                    tree = ("&", ("~", a) if sign_a else a, ("~", b) if sign_b else b)
                    form, _ = up_to_negation(tree)
                    made.setdefault(form, (tree, bits))
        found |= {form for form, (_, bits) in made.items() if bits in (wanted, _turned(wanted))}
        forms = {up_to_negation(tree)[0] for tree in known}
        known |= {tree: bits for form, (tree, bits) in made.items() if form not in forms}
    return found


def _turned(bits):
    return tuple(1 - bit for bit in bits)


def skeletons(n_inputs, depth):
    """AND and OR without negations: a left part of just one level less, a right one of that depth
    or less, and the left one earlier in the alphabet of A, B, ..., * and +.
    """
    levels = [[("x", i) for i in range(n_inputs)]]
    for _ in range(depth):
        before = [tree for level in levels for tree in level]
        pairs = [(a, b) for a in levels[-1] for b in before if _spelled(a) < _spelled(b)]
        levels.append([(sign, a, b) for a, b in pairs for sign in "&|"])
    return [tree for level in levels for tree in level]


def _spelled(tree):
    if tree[0] == "x":
        return "ABCDEFGH"[tree[1]]
    left, right = [_spelled(part) if part[0] == "x" else f"({_spelled(part)})" for part in tree[1:]]
    return left + {"&": "*", "|": "+"}[tree[0]] + right


def fewest_negations(skeleton, wanted, n_inputs):
    """How many nodes to negate at least for the wanted table, by trying all sets; None: no set."""
    nodes = _n_nodes(skeleton)
    sizes = [
        sum(choice)
        for choice in product((0, 1), repeat=nodes)
        if table(_negated(skeleton, list(choice)), n_inputs) == wanted
    ]
    return min(sizes, default=None)


def _n_nodes(tree):
    return 1 if tree[0] == "x" else 1 + sum(map(_n_nodes, tree[1:]))


def _negated(tree, choice):
    """The tree with NOT at the nodes chosen, taken from the front of the list, root first."""
    is_negated = choice.pop(0)
    if tree[0] != "x":
        tree = (tree[0], *[_negated(part, choice) for part in tree[1:]])
    return ("~", tree) if is_negated else tree


def without_negations(tree):
    """The tree's skeleton, and how many negations it has."""
    if tree[0] == "x":
        return tree, 0
    parts = [without_negations(part) for part in tree[1:]]
    n_inside = sum(n for _, n in parts)
    if tree[0] == "~":
        return parts[0][0], n_inside + 1
    return (tree[0], *[part for part, _ in parts]), n_inside
