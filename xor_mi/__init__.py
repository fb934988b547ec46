"""Boolean networks small enough to prove what every unit does, as TransformerLens models.

Nothing heavy is imported until it is used: `import xor_mi` loads neither torch nor TransformerLens.
"""

import lazy_loader as _lazy

_lazy_getattr, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("xor-mi")
    return _lazy_getattr(name)
