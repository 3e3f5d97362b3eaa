"""Names in a file: spellings that mean the same, and the name to suggest for a wrong one."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

ENDINGS = ("loss", "lr", "norm1d", "norm", "1d")
"""What a name may leave out: "cross_entropy" is CrossEntropyLoss, "step" StepLR, "batch_norm" BatchNorm1d."""

FUNCTIONS = {"binarycrossentropywithlogits": "BCEWithLogitsLoss", "softmaxcrossentropy": "CrossEntropyLoss"}
"""Functions whose classes have other names."""

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "acc": ("accuracy",),
    "batchnormalization": ("BatchNorm1d",),
    "bce": ("BCEWithLogitsLoss",),
    "bceloss": ("BCEWithLogitsLoss",),
    "binarycrossentropy": ("BCEWithLogitsLoss",),
    "bn": ("BatchNorm1d",),
    "ce": ("CrossEntropyLoss",),
    "cosine": ("CosineAnnealingLR",),
    "cosinedecay": ("CosineAnnealingLR",),
    "cosinewithwarmup": ("warmup_cosine",),
    "clipnorm": ("gradient_clip_val",),
    "clipvalue": ("gradient_clip_val",),
    "dense": ("Linear",),
    "decay": ("weight_decay",),
    "dropoutrate": ("dropout", "p"),
    "gradclip": ("gradient_clip_val",),
    "gradientclipnorm": ("gradient_clip_val",),
    "hiddenlayers": ("hidden",),
    "hiddensizes": ("hidden",),
    "kullbackleiblerdivergence": ("KLDivLoss",),
    "kldivergence": ("KLDivLoss",),
    "learningrate": ("lr",),
    "linear": ("none",),
    "ln": ("LayerNorm",),
    "maxgradnorm": ("gradient_clip_val",),
    "meanabsoluteerror": ("L1Loss", "mae"),
    "mae": ("L1Loss",),
    "maxepochs": ("epochs",),
    "meansquarederror": ("MSELoss", "mse"),
    "numepochs": ("epochs",),
    "plateau": ("ReduceLROnPlateau",),
    "rate": ("p",),
    "swish": ("SiLU",),
    "units": ("out",),
    "outfeatures": ("out",),
}
"""Words of other libraries, and the names of this one that stand for them."""


def folded(word: str) -> str:
    """Return a word without capitals, underscores, hyphens and blanks."""
    return re.sub(r"[\s_-]", "", word).lower()


def spelt(word: str, names: Iterable[str]) -> str | None:
    """Return the name that a word spells, in any capitals, with or without underscores and endings; None for none."""
    names = list(names)
    if word in names:
        return word
    plain, own = folded(word), {folded(name): name for name in reversed(names)}
    if (name := FUNCTIONS.get(plain)) in names:
        return name
    return next((own[plain + ending] for ending in ("", *ENDINGS) if plain and plain + ending in own), None)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known name that is most similar, or a list of all if none is similar."""
    known = list(known)
    plain, own = folded(word), {folded(name): name for name in reversed(known)}
    if plain in own:
        return own[plain]
    for name in ELSEWHERE.get(plain, ()):
        if name in known:
            return name
    if close := get_close_matches(plain, own, 1):
        return own[close[0]]
    longer = [name for name in own if len(plain) > 3 and plain in name]
    within = [name for name in own if len(short := name.removesuffix("loss")) > 3 and short in plain]
    if longer or within:
        return own[min(longer, key=len)] if longer else own[max(within, key=len)]
    return f"one of {', '.join(known)}" if known else "none"
