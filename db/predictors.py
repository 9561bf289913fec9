"""Finding the callable that a model's card names."""

import hashlib
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path

from domain.scoring.factors import DefinitionError
from domain.scoring.model import Artifact, ModelCard, Predictor


def find_predictor(card: ModelCard, folder: Path) -> Predictor:
    """The callable of ``card``, whose artifact, if it has one, lies in ``folder``.

    ``DefinitionError`` when it cannot be imported, is nothing that can be called with a frame, or when
    the artifact is not the one that the card was written for.
    """
    found = _named(card.predict)
    if card.artifact is None:
        return found
    content = _verified(card.artifact, folder)
    try:
        made = found(content)
    except Exception as error:  # noqa: BLE001 (whatever somebody else's code raises)
        problem = f"{card.predict} cannot read {card.artifact.file}: {type(error).__name__}: {error}"
        raise DefinitionError(problem, "artifact", "file") from None
    if not callable(made):
        problem = (
            f"{card.predict} must answer a callable when there is an artifact, not {type(made).__name__}"
        )
        raise DefinitionError(problem, "predict")
    return _plain(made, card.predict)


def _named(path: str) -> Predictor:
    module, _, name = path.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # noqa: BLE001 (an import runs somebody else's code)
        raise DefinitionError(
            f"{path} cannot be imported ({type(error).__name__}: {error}); install it beside recoup",
            "predict",
        ) from None
    if not callable(found):
        raise DefinitionError(f"{path} is no callable but {type(found).__name__}", "predict")
    return _plain(found, path)


def _plain(found: Predictor, path: str) -> Predictor:
    if iscoroutinefunction(found):
        raise DefinitionError(f"{path} must be a plain function, not a coroutine", "predict")
    return found


def _verified(artifact: Artifact, folder: Path) -> bytes:
    try:
        content = (folder / artifact.file).read_bytes()
    except OSError as error:
        problem = f"{artifact.file} cannot be read ({error.strerror}); it lies beside the card"
        raise DefinitionError(problem, "artifact", "file") from None
    if (found := hashlib.sha256(content).hexdigest()) != artifact.sha256:
        problem = f"{artifact.file} is another one, with the SHA-256 {found}; a new model is a new version"
        raise DefinitionError(problem, "artifact", "sha256")
    return content
