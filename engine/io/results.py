"""Writing a product: any rank writes its regions, then one serial publisher writes the file.

The bytes of a published file follow from the values, the grid and the configuration alone. Neither the number of ranks, nor
the tiling, nor the back-end, nor the order of the writes, nor the clock can change one. For that, the root writes every chunk
of every field in ascending order, whatever way the values came; it never holds more than one time step or chunk row.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from felsina.engine.city import canonical_json
from felsina.engine.errors import FelsinaError, ProductError
from felsina.engine.fields import PRODUCTS, Field
from felsina.engine.io.disk import DiskFile, publish
from felsina.engine.io.layout import (
    Box,
    Layout,
    chunk_shape,
    create,
    field_attributes,
    set_attributes,
    strips,
    window,
)
from felsina.engine.io.mesh import Mesh, write_further_mesh, write_mesh
from felsina.engine.io.pieces import (
    MemoryStore,
    Part,
    PieceReader,
    PieceStore,
    remove_folder,
    write_manifest,
    write_master,
)
from felsina.engine.io.quantise import published
from felsina.engine.io.read import product_attrs, product_grid, read_field, read_mesh, read_table
from felsina.engine.io.validate import validate_file
from felsina.engine.parallel.world import World
from felsina.engine.schema import rows, schema_id, storage_dtype
from felsina.engine.version import __version__

Fetch = Callable[[str, Box], list[Part]]

GATHER_LIMIT = 256 * 2**20  # bytes per rank that "auto" keeps in memory

__all__ = ["ProductWriter", "product_attrs", "product_grid", "read_field", "read_mesh", "read_table"]


class ProductWriter:
    """Collects one product from all ranks and publishes it.

    Parameters
    ----------
    world : World
    directory : path
        The run directory.
    product : str
        A product of `engine.fields`.
    dims : name -> size
        Every dimension of the fields that will be written; those of a mesh come from the mesh.
    crs : str
        Horizontal CRS, "EPSG:7791".
    coordinates : name -> array
        x, y [m] (cell centres); time, the *ends* of the intervals, and time_bnds (n, 2), as datetime64 in UTC.
    attrs : name -> text or number
        Further attributes of the file (title, institution, references, ...). `utc_offset`: "+01:00", or hours as a number.
    writer : "gather" keeps regions in memory; "virtual" in one file per rank under work/; "auto" chooses by size.
    precision : field -> quantisation step in its unit, in place of the table's.
    configuration : the scientific configuration (without `[execution]`) as plain JSON values.
    inputs : name -> SHA-256 of the input files; names without folders.

    Attributes
    ----------
    sha256 : of the published file, on the root
    notes : remarks for the record of the run, on the root
    """

    def __init__(
        self,
        world: World,
        directory: str | Path,
        product: str,
        *,
        dims: Mapping[str, int],
        crs: str,
        coordinates: Mapping[str, NDArray[Any]] | None = None,
        attrs: Mapping[str, Any] | None = None,
        writer: str = "auto",
        precision: Mapping[str, float] | None = None,
        configuration: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> None:
        self.product = product
        self.path = Path(directory) / PRODUCTS[product].file
        self.dims = dict(dims)
        self.sha256 = ""
        self.notes: list[str] = []
        self._world = world
        self._rows = rows(product)
        self._crs = crs
        self._coordinates = dict(coordinates or {})
        self._attrs = dict(attrs or {})
        self._utc_offset = _offset_text(self._attrs.pop("utc_offset", ""))
        self._precision = dict(precision or {})
        self._configuration = canonical_json(dict(configuration or {}))
        self._inputs = canonical_json(dict(inputs or {}))
        self._declared: set[str] = set()
        self._mesh: Mesh | None = None
        self._further: dict[str, Mesh] = {}
        self._finished = False
        self._check_coordinates()
        if writer == "auto":
            writer = "gather" if self._estimate() <= GATHER_LIMIT * world.size else "virtual"
        self.writer = writer
        self._folder = Path(directory) / "work" / product
        self._store: MemoryStore | PieceStore
        self._store = PieceStore(world, self._folder) if writer == "virtual" else MemoryStore()

    # -- while the run lives --------------------------------------------------------------------------------------------
    def write(self, name: str, data: ArrayLike, start: Sequence[int] = ()) -> None:
        """Give a region of a field; any rank, any order, each cell once.

        Parameters
        ----------
        name : a field of the product
        data : the values; leading axes of length 1 may be left out, so a tile of one time step is (ny, nx)
        start : index of the first value in each dimension; zeros where absent
        """
        described = self._rows.get(name)
        if described is None:
            raise ValueError(f"'{name}' is no field of {self.product}; known: {', '.join(self._rows)}.")
        if "mesh_face" in described.dims:
            raise ValueError(f"'{name}' lies on the mesh: give it to mesh().")
        shape = self._shape(described)
        values = published(described, data, self._precision.get(name, described.quantum))
        if values.ndim > len(shape):
            raise ValueError(f"'{name}' has the dims {described.dims}; got {values.ndim} axes.")
        values = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
        first = tuple(int(s) for s in start) + (0,) * (len(shape) - len(start))
        if any(s < 0 or s + n > m for s, n, m in zip(first, values.shape, shape, strict=True)):
            raise ValueError(f"'{name}' {values.shape} at {first} does not lie in {shape} {described.dims}.")
        self._declared.add(name)
        self._store.add(name, first, values, grows=described.dims[0] == "time")

    def mesh(
        self,
        points: NDArray[np.float64],
        faces: NDArray[Any],
        face_fields: Mapping[str, NDArray[Any]],
        building_fields: Mapping[str, NDArray[Any]] | None = None,
        group: str = "/",
    ) -> None:
        """Give the triangles of all buildings; on the root only (other ranks may call it, and are ignored).

        Parameters
        ----------
        points : (n_node, 3) [m]
        faces : (n_face, 3) rows of `points`, counter-clockwise seen from outside
        face_fields : name -> (n_face,) or (n_time, n_face)
            Rows of the table on `mesh_face` (`mesh_face_building` is needed), and further arrays for VTK.
        building_fields : name -> (n_building,) or (n_time, n_building)
            Values that VTK shows on every face of a building.
        group : str
            "/" is the mesh that VTK shows; a mesh of another level of detail has a group of its own, "/lod12".
        """
        if not self._world.is_root:
            return
        made = Mesh(np.asarray(points, np.float64), np.asarray(faces), face_fields, building_fields or {})
        if group == "/":
            self._mesh = made
        else:
            self._further[group] = made

    def flush(self) -> None:
        """Make what this rank wrote survive the process (pieces only); call it after each output step."""
        self._store.flush()

    def sync(self) -> None:
        """Flush on all ranks and refresh the virtual-dataset master under work/ (pieces only). Collective."""
        if not isinstance(self._store, PieceStore):
            return
        store = self._store

        def flushed() -> dict[str, Any]:
            store.flush()
            return store.entry(None)

        entries = self._on_every_rank(flushed)

        def refresh() -> None:
            names = sorted({r["name"] for e in entries for r in e["regions"]})
            write_manifest(self._folder, self.product, self.dims, entries)
            write_master(self._folder, {n: self._shape(self._rows[n]) for n in names}, entries)

        self._world.on_root(refresh)

    def close(self) -> None:
        """Let go without publishing; pieces stay under work/. Does nothing after `publish`."""
        if not self._finished:
            self._finished = True
            self._store.discard()

    # -- publication ----------------------------------------------------------------------------------------------------
    def publish(self) -> Path:
        """Write, check and publish the file; collective. Returns its path on every rank.

        Raises
        ------
        ProductError
            When cells were written twice or never, a piece is damaged, or the file breaks the schema.
        MachineError
            When the disk is full; no temporary file stays, and an older product is untouched.
        """
        if self._finished:
            raise ValueError(f"'{self.path}' was published or closed before.")
        self._finished = True
        world = self._world
        names = sorted(set().union(*world.allgather(self._declared)))
        if isinstance(self._store, PieceStore):
            self._publish_pieces(self._store, names)
        else:
            self._publish_memory(self._store, names)
        return self.path

    def _publish_pieces(self, store: PieceStore, names: list[str]) -> None:
        entries = self._on_every_rank(store.seal)

        def work() -> None:
            write_manifest(self._folder, self.product, self.dims, entries)
            reader = PieceReader(self._folder)
            try:
                self._publish(names, reader.parts)
            finally:
                reader.close()
            remove_folder(self._folder)

        self._world.on_root(work)

    def _publish_memory(self, store: MemoryStore, names: list[str]) -> None:
        """Let the root ask for one strip after the other; the other ranks answer until it is done or has failed."""
        world = self._world
        error: FelsinaError | None = None

        def fetch(name: str, box: Box) -> list[Part]:
            world.bcast((name, box))
            answers = world.gather(store.parts(name, box))
            return [part for answer in answers or [] for part in answer]

        if world.is_root:
            try:
                self._publish(names, fetch)
            except FelsinaError as raised:
                error = raised
            world.bcast(None)
        else:
            while (request := world.bcast(None)) is not None:
                world.gather(store.parts(*request))
        store.discard()

        def conclude() -> None:
            if error is not None:
                raise error

        world.on_root(conclude)

    def _publish(self, names: list[str], fetch: Fetch) -> None:
        described = PRODUCTS[self.product]
        if self._mesh is not None:
            self.dims |= self._mesh.dims

        def fill(file: h5py.File, disk: DiskFile) -> None:
            self._fill(file, disk, names, fetch)

        def check(part: Path) -> None:
            findings = validate_file(part)
            if findings:
                more = f" ({len(findings) - 3} more)" if len(findings) > 3 else ""
                raise ProductError(f"The product breaks its schema and was not published: {' | '.join(findings[:3])}{more}")

        link = self.path.with_suffix(".vtkhdf") if described.vtkhdf else None
        self.sha256, self.notes = publish(self.path, fill, check, link)

    def _fill(self, file: h5py.File, disk: DiskFile, names: list[str], fetch: Fetch) -> None:
        title = PRODUCTS[self.product].title
        attributes = {"Conventions": "CF-1.11 UGRID-1.0", "title": title, "institution": "not stated"}
        attributes |= {"source": f"felsina {__version__}", "references": "not stated"}
        set_attributes(
            file,
            attributes | self._attrs | {"felsina_schema": schema_id(self.product), "utc_offset": self._utc_offset},
        )
        layout = Layout(file, self.dims, self._crs, self._coordinates, self._utc_offset)
        layout.group("/", ())
        located = {"building_x", "building_y"} <= set(names)
        for name, field in self._rows.items():
            if name not in names:
                continue
            quantum = self._precision.get(name, field.quantum)
            coordinate = name in ("building_x", "building_y")
            attributes = field_attributes(field, quantum, located=located, coordinate=coordinate)
            dataset = layout.variable(field, attributes)
            self._fill_variable(dataset, field, fetch, disk)
        if self._mesh is not None:
            write_mesh(layout, self._mesh, self._rows, self._precision, disk.check)
        for group, mesh in self._further.items():
            write_further_mesh(layout, group, mesh, self._rows, self._precision, disk.check)
        self._describe(file)

    def _fill_variable(self, dataset: Any, field: Field, fetch: Fetch, disk: DiskFile) -> None:
        shape = self._shape(field)
        chunk = chunk_shape(field.dims, shape)
        for box in strips(field.dims, shape):
            values = self._assemble(field, box, fetch(field.name, box))
            # One chunk after the other along the last axis: the order in the file is the order of the grid.
            first, last = box[-1]
            for a in range(first, last, chunk[-1]):
                b = min(last, a + chunk[-1])
                dataset[window((*box[:-1], (a, b)))] = values[..., a - first : b - first]
            disk.check()

    def _assemble(self, field: Field, box: Box, parts: list[Part]) -> NDArray[Any]:
        shape = tuple(b - a for a, b in box)
        values = np.empty(shape, storage_dtype(field))
        seen = np.zeros(shape, bool)
        for start, block in parts:
            inside = tuple(slice(s - a, s - a + n) for s, (a, _), n in zip(start, box, block.shape, strict=True))
            if seen[inside].any():
                raise ProductError(f"'{self.path.name}': {field.name} was written twice near {start}. Regions may not overlap.")
            seen[inside] = True
            values[inside] = block
        if not seen.all():
            where = tuple(int(i) + a for i, (a, _) in zip(np.argwhere(~seen)[0], box, strict=True))
            raise ProductError(
                f"'{self.path.name}': {field.name} was never written at {where} {field.dims} "
                f"({int((~seen).sum()):,} of {seen.size:,} values of this part)."
            )
        return values

    def _describe(self, file: h5py.File) -> None:
        """Write what the file was made from: schema, scientific configuration, input hashes; no clock, path or rank."""
        group = file.create_group("felsina", track_order=True)
        set_attributes(
            group,
            {"schema": schema_id(self.product), "product": self.product, "producer": f"felsina {__version__}"}
            | {"crs": self._crs, "configuration_sha256": hashlib.sha256(self._configuration.encode()).hexdigest()},
        )
        for name, text in (("configuration", self._configuration), ("inputs", self._inputs)):
            raw = text.encode()
            dataset = create(group, name, (), h5py.string_dtype("utf-8", max(1, len(raw))))
            dataset[()] = raw

    def _on_every_rank(self, function: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what `function` gives on each rank; the error of the first rank that has one is raised on all."""
        result: dict[str, Any] = {}
        error: FelsinaError | None = None
        try:
            result = function()
        except FelsinaError as raised:
            error = raised
        outcomes = self._world.allgather((result, error))
        for _, failed in outcomes:
            if failed is not None:
                failed.collective = True  # type: ignore[attr-defined]  # tells the door that every rank knows
                raise failed
        return [entry for entry, _ in outcomes]

    # -- helpers --------------------------------------------------------------------------------------------------------
    def _shape(self, field: Field) -> tuple[int, ...]:
        missing = [d for d in field.dims if d not in self.dims]
        if missing:
            raise ValueError(f"'{field.name}' needs the size of {', '.join(missing)}; dims has {self.dims}.")
        return tuple(int(self.dims[d]) for d in field.dims)

    def _estimate(self) -> int:
        known = [f for f in self._rows.values() if all(d in self.dims for d in f.dims)]
        return sum(prod(self._shape(f)) * (16 if f.dtype == "str" else storage_dtype(f).itemsize) for f in known)

    def _check_coordinates(self) -> None:
        if "time" in self._coordinates and "time_bnds" not in self._coordinates:
            raise ValueError("'time' needs 'time_bnds': the label is the end of an interval.")
        for name, values in self._coordinates.items():
            if name in self.dims and len(values) != self.dims[name]:
                raise ValueError(f"Coordinate '{name}' has {len(values)} values; the dimension has {self.dims[name]}.")


def _offset_text(offset: str | float) -> str:
    """Return an offset from UTC as ISO 8601 text: 1.0 -> "+01:00"."""
    if isinstance(offset, str):
        if offset and not re.fullmatch(r"[+-]\d\d:\d\d", offset):
            raise ValueError(f"'utc_offset' is '{offset}'; expected '+01:00' or hours as a number.")
        return offset
    minutes = round(float(offset) * 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
