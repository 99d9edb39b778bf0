"""The image network, `diffusers.UNet2DModel`, in the directory format of diffusers.

diffusers takes seconds to import, so it is imported when a network is asked for.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from . import safe

if TYPE_CHECKING:
    from diffusers import UNet2DModel

WEIGHTS = "diffusion_pytorch_model.safetensors"


def make(config: dict[str, Any]) -> "UNet2DModel":
    """A new network with these settings of UNet2DModel.  Raises UsageError for settings that are none."""
    from diffusers import UNet2DModel

    try:
        return UNet2DModel(**config)
    except (TypeError, ValueError) as error:
        what = str(error).splitlines()[0]
        raise UsageError(f"no UNet2DModel of these settings ({what}): see the documentation of diffusers") from None


def save(folder: Path, net: "UNet2DModel", card: dict[str, Any]) -> Path:
    """Write a model's folder, weights in float16, whole or not at all; one that is there is replaced."""
    from safetensors.torch import save_file

    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    net.save_config(made)
    weights = {name: value.detach().half().contiguous().cpu() for name, value in net.state_dict().items()}
    save_file(weights, made / WEIGHTS, {"format": "pt"})
    (made / safe.CARD).write_text(json.dumps(card | {"sha256": safe.sha256(made / WEIGHTS)}, indent=1) + "\n")
    made.chmod(0o755)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(made, folder)
    return folder
