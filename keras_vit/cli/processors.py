"""`keras-vit processors`: processors that exported files can run on."""

from keras_vit.cli.option_rules import loudness
from keras_vit.cli.table import table


def add_commands(commands):
    """Add the sub-command of this file to the parser."""
    command = commands.add_parser(
        "processors",
        help="list the processors that exported files can be run on",
        description="Lists this machine's processor and those that can be emulated, "
        "with what is missing. --install sets up what is missing in the cache of the "
        "package, without changing the system.",
    )
    command.add_argument(
        "--install",
        nargs="*",
        metavar="NAME",
        help="set up what these processors need; without names, all that this "
        "version can install (default: only list)",
    )
    command.set_defaults(run=run_processors)


def run_processors(args):
    """List the processors, after installing if asked."""
    from keras_vit.export.processors import install
    from keras_vit.export.processors.listing import survey

    installed = []
    if args.install is not None:
        names = [name for word in args.install for name in word.split(",") if name]
        installed = install(names, loudness(args))
    found, told = survey(), ""
    if args.install is not None and not installed:
        told = "nothing to install: it is all there\n\n"
    return {**found, "installed": installed}, told + _listed(found), 0


def _listed(survey):
    """Format the survey for people."""
    native = survey["native"]
    features = native["features"]
    feature_names = (
        "features not told by the system" if features is None else " ".join(features)
    )
    runtimes = [f"{name} {version}" for name, version in survey["runtimes"].items()]
    rows = [
        [
            row["name"],
            "ready" if row["ready"] else "missing",
            row["kind"],
            " ".join(row["formats"]),
            row["stands_for"],
        ]
        for row in survey["processors"]
    ]
    # Rows that lack the same are told once.
    reasons = {}
    for row in survey["processors"]:
        if not row["ready"]:
            reasons.setdefault(row["missing"], []).append(row["name"])
    lines = [
        f"native: {native['name']}, {native['architecture']}: {feature_names}",
        f"runtimes here: {', '.join(runtimes) or 'none'}",
        "",
        table(rows, ["processor", "state", "kind", "formats", "stands for"]),
        "",
        *(f"{', '.join(names)}: {reason}." for reason, names in reasons.items()),
        f"parts lie in {survey['folder']}",
    ]
    return "\n".join(lines)
