"""`keras-vit inspect`: a page of attention maps, filters and token norms."""

import pathlib

from keras_vit import files
from keras_vit.cli.option_rules import UsageError, loudness, positive
from keras_vit.cli.training import add_preprocess, load_prepared


def add_commands(commands):
    """Add the sub-command of this file to the parser."""
    command = commands.add_parser(
        "inspect", help="write a page of attention maps, filters and token norms"
    )
    command.add_argument("model", help="a .keras file or a checkpoint")
    command.add_argument("images", nargs="+", metavar="IMAGE", help="image files")
    command.add_argument("--output", default="inside.html", help="HTML page")
    command.add_argument(
        "--overwrite", action="store_true", help="replace an existing page"
    )
    command.add_argument("--top", type=positive, default=5, help="classes per image")
    add_preprocess(command)
    command.set_defaults(run=run_inspect)


def run_inspect(args):
    """Write the page; pictures are read first, as the quickest to fail."""
    from keras_vit import introspect

    if pathlib.Path(args.output).suffix not in (".html", ".htm"):
        raise UsageError(
            f"--output: must end in .html, got {args.output}. Use {args.output}.html."
        )
    files.check_target(args.output, args.overwrite)
    pictures = {path: _picture(path) for path in args.images}
    introspect.drawing.figure(1, 1)  # matplotlib is there
    model = load_prepared(args)
    inspection = introspect.inspect_model(
        model, pictures, top=args.top, verbose=loudness(args)
    )
    page = introspect.render_page(inspection, pathlib.Path(args.model).stem)
    with files.replacing(args.output, args.overwrite) as path:
        path.write_text(page, encoding="utf-8")
    answer = {
        "page": str(pathlib.Path(args.output).absolute()),
        "images": {
            sight.name: [{"label": n, "probability": p} for n, p in sight.guesses]
            for sight in inspection.sights
        },
        "distance_px": inspection.distances.tolist(),
    }
    lines = [
        f"{sight.name}: {sight.guesses[0][0]} {sight.guesses[0][1]:.1%}"
        for sight in inspection.sights
        if sight.guesses
    ]
    return answer, "\n".join([*lines, f"page: {answer['page']}"]), 0


def _picture(path):
    """Decode one image file, or raise an error with the remedy."""
    from keras_vit import preprocess

    if not pathlib.Path(path).is_file():
        there = "a folder" if pathlib.Path(path).is_dir() else "nothing"
        raise FileNotFoundError(
            f"{path}: must be an image file, got {there} at this place. Give the path "
            "of a JPEG or PNG, or several, as in photos/*.jpg."
        )
    return preprocess.read_image(path)
