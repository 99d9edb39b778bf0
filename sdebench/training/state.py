"""The state of a training, and its checkpoint: one safetensors file, written whole or not at all."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdebench._support.errors import UsageError, cut, describe, shown
from sdebench._support.files import write_atomic
from sdebench._support.reading import WEIGHTS, check_file, parse_json
from sdebench.training.recipe import Recipe, from_plain

CHECKPOINT = "checkpoint.safetensors"
_END = ("steps", "cooldown", "decay")  # settings of which nothing depends before the rate falls
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class State:
    """Network, the running average of its weights, AdamW's moments, and the number of steps made.

    `teacher` is the SHA-256 of the teacher's weights, where there is one: a checkpoint is gone on from with the same alone.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, device: str = "cpu", teacher: str = ""):
        layout = torch.channels_last if recipe.channels_last else torch.preserve_format
        self.recipe, self.step, self.teacher = recipe, 0, teacher
        self.net = net.to(device, memory_format=layout).train()  # type: ignore[call-overload]  # torch's types leave memory_format out
        self.ema = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=recipe.rate, weight_decay=0.01, fused=True)

    def update(self, loss: Tensor) -> None:
        """One step of AdamW down the loss, its gradient clipped, and of the average."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        self.optimizer.step()
        kept = self.recipe.ema_at(self.step)
        with torch.no_grad():
            mine, its = list(self.ema.parameters()), list(self.net.parameters())
            torch._foreach_lerp_(mine, its, 1 - kept)
            for average, buffer in zip(self.ema.buffers(), self.net.buffers()):
                average.copy_(buffer)
        self.step += 1

    def _tensors(self) -> dict[str, Tensor]:
        out = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        out |= {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        for name, parameter in self.net.named_parameters():
            out |= {f"{m}.{name}": v for m, v in self.optimizer.state.get(parameter, {}).items()}
        return {name: tensor.detach().contiguous().cpu() for name, tensor in out.items()}

    def save(self, folder: Path) -> None:
        """Write the checkpoint; one that is there stays whole until the new one is.  Raises UsageError if diverged."""
        from safetensors.torch import save

        tensors = self._tensors()
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise self.diverged(f"{name} is not finite")
        about = {
            "step": str(self.step),
            "recipe": json.dumps(self.recipe.plain()),
            "digest": _digest(tensors),
            "teacher": self.teacher,
        }
        write_atomic(folder / CHECKPOINT, save(tensors, about))

    def restore(self, folder: Path) -> None:
        """Go on from the checkpoint.  Raises UsageError for one that is broken, or of another recipe or teacher."""
        tensors, step, recipe, teacher = _read(folder / CHECKPOINT)
        _same(self.recipe, recipe, step)
        if not 0 <= step <= self.recipe.steps:
            raise UsageError(f"the checkpoint in {folder} was made after step {step}: give a recipe with as many steps")
        if teacher != self.teacher:
            raise UsageError(
                f"the checkpoint in {folder} was made with a teacher of SHA-256 {teacher[:16] or 'none'}, and "
                f"this one has {self.teacher[:16] or 'none'}: resume with the same teacher"
            )
        try:
            self.net.load_state_dict(_part(tensors, "net"))
            self.ema.load_state_dict(_part(tensors, "ema"))
            moments = {m: _part(tensors, m) for m in _MOMENTS}
            for name, parameter in self.net.named_parameters():
                found = {m: moments[m][name] for m in _MOMENTS if name in moments[m]}
                self.optimizer.state[parameter] = {m: _beside(parameter, value) for m, value in found.items()}
        except RuntimeError as error:
            what = describe(error)
            raise UsageError(f"the checkpoint in {folder} is not of this network ({what}): give another folder") from None
        self.step = step

    def diverged(self, what: str) -> UsageError:
        """The error of a training whose numbers are not finite any more."""
        return UsageError(
            f"the training diverged: {what} after step {self.step}; give a recipe with a lower rate than "
            f"{self.recipe.rate:g}, and another --out"
        )


def _beside(parameter: Tensor, value: Tensor) -> Tensor:
    """AdamW's value on the parameter's device, a moment also in its layout: the fused step reads both in memory's order."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value.to(parameter.device)


def _digest(tensors: dict[str, Tensor]) -> str:
    """The SHA-256 of all numbers, by name; the file's own format has no checksum."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]  # an array is a buffer
    return digest.hexdigest()


def _part(tensors: dict[str, Tensor], head: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{head}."): tensor for name, tensor in tensors.items() if name.startswith(f"{head}.")}


def _read(path: Path) -> tuple[dict[str, Tensor], int, dict[str, Any], str]:
    """Tensors, step, recipe, and the teacher's SHA-256."""
    from safetensors import SafetensorError, safe_open

    try:
        check_file(path, WEIGHTS, "give another folder, or train anew")
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file is no dict)
            if _digest(tensors) != about["digest"]:
                raise ValueError("damaged: its numbers have another SHA-256")
            recipe = parse_json(about["recipe"])
            if not isinstance(recipe, dict):
                raise ValueError("its recipe is no table")
            return tensors, int(about["step"]), recipe, about.get("teacher", "")
    except UsageError:
        raise
    except (SafetensorError, KeyError, ValueError) as error:
        what = cut(str(error))
        raise UsageError(f"cannot read the checkpoint {path} ({what}): give another folder, or train anew") from None


def _same(recipe: Recipe, plain: dict[str, Any], step: int) -> None:
    """Raise UsageError unless the checkpoint's recipe is this one, but for an end that does not matter yet."""
    mine, its = recipe.plain(), from_plain(plain).plain()
    ends = min(recipe.falls_from(), from_plain(plain).falls_from())
    for key in mine:
        if mine[key] != its[key] and not (key in _END and step <= ends):
            raise UsageError(
                f"the checkpoint was made with {key} = {shown(its[key])}, and this run has {shown(mine[key])}: "
                "resume with the same recipe"
            )
