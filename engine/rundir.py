"""The run directory: one product, one file, by the names of `engine.fields`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from felsina.engine.errors import ProductError
from felsina.engine.fields import PRODUCTS


@dataclass(frozen=True)
class RunDirectory:
    """Where the products of one run are."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def work(self) -> Path:
        """Checkpoints, pieces and logs; may be deleted after publication."""
        return self.path / "work"

    def product(self, name: str) -> Path:
        """Return where a product is, or will be."""
        return self.path / PRODUCTS[name].file

    def needed(self, name: str) -> Path:
        """Return the file of a product that an earlier job must have left."""
        path = self.product(name)
        if not path.exists():
            product = PRODUCTS[name]
            raise ProductError(f"'{path}' is missing. Make it first: felsina {product.job} CITY.toml --out {self.path}")
        return path

    @property
    def products(self) -> dict[str, Path]:
        """Return the products that are there, by name."""
        return {name: self.product(name) for name in PRODUCTS if self.product(name).exists()}
