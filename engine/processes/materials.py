"""Surfaces of a city by land cover, and what lies below them, from the shipped tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from felsina.engine.parallel.device import Device
from felsina.engine.tables import read_table
from felsina.kernels.energy.conduction import ConductionTables, conduction_tables

INDOOR_TEMPERATURE = 297.15  # K, under roofs in summer
INDOOR_FILM = 6.0  # W m-2 K-1, ceiling with heat flowing down (ISO 6946: R_si = 0.17 m2 K W-1)


@dataclass(frozen=True)
class Materials:
    """Surfaces and what lies below them by land cover, from the shipped tables; all by class.

    albedo, emissivity, latent_share (n_class,); depth (n_class, n_layer): middle of each layer over the whole depth; tables: of
    the conduction for one time step; is_indoor (n_class,): a room lies below instead of deep ground.
    """

    codes: NDArray[np.int64]
    albedo: NDArray[np.float32]
    emissivity: NDArray[np.float32]
    latent_share: NDArray[np.float32]
    depth: NDArray[np.float32]
    is_indoor: NDArray[np.bool_]
    tables: ConductionTables

    @classmethod
    def shipped(cls, time_step: float) -> Materials:
        """Read the shipped tables for a time step [s]."""
        properties = read_table("surface_properties.csv")
        layers = read_table("surface_materials.csv")
        codes = np.array([int(r["land_cover"]) for r in properties])

        def column(name: str) -> NDArray[np.float64]:
            rows = [[float(r[name]) for r in layers if int(r["land_cover"]) == code] for code in codes]
            return np.array(rows)

        def one(name: str) -> NDArray[np.float32]:
            return np.array([float(r[name]) for r in properties], np.float32)

        thickness, conductivity = column("thickness_m"), column("conductivity_W_m_K")
        indoor = np.array([r["bottom"] == "indoor" for r in properties])
        half = 0.5 * thickness[:, -1] / conductivity[:, -1]
        below = np.where(indoor, 1.0 / (half + 1.0 / INDOOR_FILM), 1.0 / half)
        total = np.cumsum(thickness, axis=1)
        depth = (total - 0.5 * thickness) / total[:, -1:]
        tables = conduction_tables(conductivity, column("heat_capacity_J_m3_K"), thickness, time_step, below, np.float32)
        return cls(codes, one("albedo"), one("emissivity"), one("latent_share"), depth.astype(np.float32), indoor, tables)

    def class_of(self, land_cover: NDArray[np.int8]) -> NDArray[np.int8]:
        """Return the class of UMEP land-cover codes."""
        table = np.zeros(int(self.codes.max()) + 1, np.int8)
        table[self.codes] = np.arange(len(self.codes), dtype=np.int8)
        return table[land_cover]

    def on(self, device: Device) -> Materials:
        """Return the same with what kernels read on a device."""
        tables = ConductionTables(*map(device.put, self.tables))
        moved = {name: device.put(getattr(self, name)) for name in ("albedo", "emissivity", "latent_share")}
        return replace(self, tables=tables, **moved)
