"""Repositories of the Hugging Face hub, by the address "hf://OWNER/NAME".

Plain HTTP, so that neither huggingface_hub nor transformers nor timm is needed.
`HF_ENDPOINT` names another server with the same paths, such as a mirror.
"""

import os
import re
import urllib.parse

from keras_vit.weights.fetch import NotOnServer, cache_folder, download
from keras_vit.weights.formats import INDEX, TORCH_INDEX, shards

SCHEME = "hf://"
ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+?)(?:@([\w.-]+))?")
ENDPOINT = "https://huggingface.co"
# In the order in which they are looked for.
WEIGHTS = ("model.safetensors", INDEX, "pytorch_model.bin", TORCH_INDEX)


def fetch_repository(address, verbose=1):
    """Folder of a repository, downloaded if missing.

    Configuration first and weights last: once the weights lie there, the folder is
    whole, and no network is needed any more.

    Args:
        address: "hf://OWNER/NAME", with "@REVISION" for another than main.
        verbose: 0 silent, 1 shows progress.

    Returns:
        `pathlib.Path` of a folder that `from_checkpoint` reads.

    Raises:
        ValueError: for an address of another form.
        CheckpointError: when it cannot be downloaded, or holds no weights.
    """
    match = ADDRESS.fullmatch(address)
    if match is None or ".." in address:
        raise ValueError(
            f"weights: an address must be hf://OWNER/NAME or hf://OWNER/NAME@REVISION, "
            f"got {address!r}. An example is hf://google/vit-base-patch16-224."
        )
    repository, revision = match[1], match[2] or "main"
    server = os.environ.get("HF_ENDPOINT", ENDPOINT).rstrip("/")
    host = urllib.parse.urlsplit(server).netloc.replace(":", "_")
    folder = cache_folder().joinpath(host, *repository.split("/"), revision)

    def get(name):
        url = f"{server}/{repository}/resolve/{revision}/{name}"
        return download(url, folder / name, verbose=verbose)

    weights = [name for name in WEIGHTS if (folder / name).is_file()]
    if not weights:
        get("config.json")
        _get_first(get, ["preprocessor_config.json"])
    held = _get_first(get, weights or WEIGHTS)
    if held in (INDEX, TORCH_INDEX):
        for name in shards(folder / held):
            get(name)
    elif held is None:
        raise NotOnServer(
            f"{address}: must hold one of {', '.join(WEIGHTS)}, got none of them at "
            f"{server}/{repository}. Convert its weights to .safetensors."
        )
    return folder


def _get_first(get, names):
    """Download the first file that exists: its name, or None."""
    for name in names:
        try:
            get(name)
        except NotOnServer:
            continue
        return name
    return None
