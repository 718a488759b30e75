"""Plain text tables for the terminal."""


def table(rows, head):
    """Align rows under a heading, numbers to the right.

    Args:
        rows: list of lists of values. head: list of column names.

    Returns:
        Text, one line per row.

    >>> print(table([["a", 1.5], ["bb", 20]], ["name", "x"]))
    name    x
    a     1.5
    bb     20
    """
    cells = [[str(value) for value in row] for row in [head, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [
        bool(rows) and all(isinstance(row[k], (int, float)) for row in rows)
        for k in range(len(head))
    ]
    lines = []
    for line in cells:
        parts = zip(line, widths, right, strict=True)
        aligned = [c.rjust(w) if r else c.ljust(w) for c, w, r in parts]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)
