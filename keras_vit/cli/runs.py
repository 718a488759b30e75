"""`keras-vit plot`: loss and accuracy of training runs."""

import pathlib

from keras_vit.cli.table import table


def add_commands(commands):
    """Add the sub-command to the parser."""
    plot = commands.add_parser(
        "plot", help="draw the loss and accuracy of training runs"
    )
    plot.add_argument(
        "runs", nargs="+", metavar="RUN", help="folder of a run, or its history.csv"
    )
    plot.add_argument("--output", default="curves.png", help="picture, .png")
    plot.add_argument(
        "--overwrite", action="store_true", help="replace an existing picture"
    )
    plot.set_defaults(run=run_plot)


def run_plot(args):
    """Draw the curves, and print the metrics of the last and the best epoch."""
    from keras_vit import lettering
    from keras_vit.training.logging import plot_history
    from keras_vit.training.tasks import best_of, monitors

    runs = {}
    for text in args.runs:
        path = pathlib.Path(text)
        named = path.parent if path.name == "history.csv" else path
        name = named.name if named.name not in runs else str(path)
        runs[name] = plot_history.read_curves(path)
    path = plot_history.draw_curves(runs, args.output, args.overwrite)
    rows, answer = [], {}
    for name, numbers in runs.items():
        answer[name] = {key: values[-1] for key, values in numbers.items()}
        known = [k for k in monitors() if k in numbers]
        result = {k: best_of(k)(numbers[k]) for k in known}
        epochs = max(map(len, numbers.values()))
        texts = [f"{k} {value:.4f}" for k, value in result.items()]
        rows.append([name, str(epochs), ", ".join(texts)])
    lines = [table(rows, ["run", "epochs", "best"]), str(path)]
    note = lettering.undrawable(runs)
    result = {"picture": str(path), "last": answer, "notes": [note] if note else []}
    return result, "\n".join([*lines, *result["notes"]]), 0
