"""V2's ModelInferRequest and ModelInferResponse in protobuf's wire format.

The two have the same fields, but 6 and 7: in a request 6 are the outputs that are asked for and
7 the raw contents of inputs, in a response 6 are the raw contents of outputs.
https://github.com/kserve/open-inference-protocol (specification/protocol/open_inference_grpc.proto)
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from streamdrift.decoders.bodies import BodyError, joined_tensors
from streamdrift.decoders.tables import Part
from streamdrift.records import Group

_FIELD = descriptor_pb2.FieldDescriptorProto
_NAMESPACE = "streamdrift.v2"
_RAW: Mapping[str, tuple[str, str, int]] = {
    "INT8": ("<i1", "b", 1),
    "INT16": ("<i2", "h", 2),
    "INT32": ("<i4", "i", 4),
    "INT64": ("<i8", "q", 8),
    "UINT8": ("<u1", "B", 1),
    "UINT16": ("<u2", "H", 2),
    "UINT32": ("<u4", "I", 4),
    "UINT64": ("<u8", "Q", 8),
    "FP16": ("<f2", "e", 2),
    "FP32": ("<f4", "f", 4),
    "FP64": ("<f8", "d", 8),
}
"""Datatypes of numbers, as NumPy and as `struct` call them, and their bytes."""
_FEW = 16
"""Values for which an array costs more than it saves."""
_CONTENTS: Sequence[tuple[str, int]] = (
    ("bool_contents", _FIELD.TYPE_BOOL),
    ("int_contents", _FIELD.TYPE_INT32),
    ("int64_contents", _FIELD.TYPE_INT64),
    ("uint_contents", _FIELD.TYPE_UINT32),
    ("uint64_contents", _FIELD.TYPE_UINT64),
    ("fp32_contents", _FIELD.TYPE_FLOAT),
    ("fp64_contents", _FIELD.TYPE_DOUBLE),
    ("bytes_contents", _FIELD.TYPE_BYTES),
)
"""The fields of InferTensorContents, numbered from 1 on."""


class NotProtobufError(ValueError):
    """The bytes are no message of the protocol."""


class UnclearError(ValueError):
    """The message may be a request as well as a response."""


def _message_type() -> Any:
    """Return the class of both messages: fields 6 and 7 are read as bytes."""
    file = descriptor_pb2.FileDescriptorProto(
        name="streamdrift/v2.proto", package=_NAMESPACE, syntax="proto3"
    )
    contents = file.message_type.add(name="Contents")
    for number, (name, kind) in enumerate(_CONTENTS, start=1):
        _add(contents, name, number, kind, repeated=True)
    each = file.message_type.add(name="Tensor")
    _add(each, "name", 1, _FIELD.TYPE_STRING)
    _add(each, "datatype", 2, _FIELD.TYPE_STRING)
    _add(each, "shape", 3, _FIELD.TYPE_INT64, repeated=True)
    _add(each, "contents", 5, _FIELD.TYPE_MESSAGE, of="Contents")
    parameter = file.message_type.add(name="Parameter")
    parameter.oneof_decl.add(name="choice")
    choices = {"bool_param": _FIELD.TYPE_BOOL, "int64_param": _FIELD.TYPE_INT64}
    choices |= {"string_param": _FIELD.TYPE_STRING, "double_param": _FIELD.TYPE_DOUBLE}
    choices |= {"uint64_param": _FIELD.TYPE_UINT64}
    for number, (name, kind) in enumerate(choices.items(), start=1):
        _add(parameter, name, number, kind).oneof_index = 0
    whole = file.message_type.add(name="Message")
    for number, name in enumerate(("model_name", "model_version", "id"), start=1):
        _add(whole, name, number, _FIELD.TYPE_STRING)
    entry = whole.nested_type.add(name="ParametersEntry")
    entry.options.map_entry = True
    _add(entry, "key", 1, _FIELD.TYPE_STRING)
    _add(entry, "value", 2, _FIELD.TYPE_MESSAGE, of="Parameter")
    _add(whole, "parameters", 4, _FIELD.TYPE_MESSAGE, of="Message.ParametersEntry", repeated=True)
    _add(whole, "tensors", 5, _FIELD.TYPE_MESSAGE, of="Tensor", repeated=True)
    _add(whole, "six", 6, _FIELD.TYPE_BYTES, repeated=True)
    _add(whole, "seven", 7, _FIELD.TYPE_BYTES, repeated=True)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_NAMESPACE}.Message"))


def _add(
    message: Any, name: str, number: int, kind: int, *, of: str = "", repeated: bool = False
) -> Any:
    label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, type=kind, label=label)
    if of:
        field.type_name = f".{_NAMESPACE}.{of}"
    return field


Message: Any = _message_type()


def read_message(value: bytes, side: Group | None) -> tuple[dict[str, object], int, list[Part]]:
    """Return the head of a message, the size of its batch, and its parts.

    `side` is what the tensors are, where that is known. Raises NotProtobufError, UnclearError,
    and BodyError where tensors do not hold what they say.
    """
    try:
        message = Message.FromString(value)
    except DecodeError as error:
        raise NotProtobufError(str(error)) from error
    if not message.tensors:
        raise NotProtobufError("no tensors")
    if side is None and message.seven:
        side = Group.FEATURE
    if side is None:
        raise UnclearError
    raw = message.seven if side is Group.FEATURE else message.six
    if raw and len(raw) != len(message.tensors):
        raise BodyError(f"there are {len(raw)} raw contents for {len(message.tensors)} tensors")
    values = map(_raw, message.tensors, raw) if raw else map(_typed, message.tensors)
    tensors = [(t.name, list(t.shape), v) for t, v in zip(message.tensors, values, strict=True)]
    count, parts = joined_tensors(side, tensors)
    head: dict[str, object] = {
        "model_name": message.model_name,
        "model_version": message.model_version,
        "id": message.id,
        "parameters": {name: _parameter(each) for name, each in message.parameters.items()},
    }
    return head, count, parts


def _parameter(parameter: Any) -> object:
    choice = parameter.WhichOneof("choice")
    return None if choice is None else getattr(parameter, choice)


def _typed(each: Any) -> list[object]:
    """Return the values of a tensor's typed contents, of which one kind is filled."""
    for name, kind in _CONTENTS:
        values = getattr(each.contents, name)
        if values:
            if kind == _FIELD.TYPE_BYTES:
                return [value.decode(errors="replace") for value in values]
            return list(values)
    return []


def _raw(each: Any, raw: bytes) -> list[object] | NDArray[np.float64]:
    """Return the values of a tensor's raw contents: little-endian, row by row."""
    if each.datatype == "BYTES":
        return _texts(each.name, raw)
    if each.datatype == "BOOL":
        flags: list[object] = np.frombuffer(raw, dtype=np.bool_).tolist()
        return flags
    if each.datatype == "BF16":
        words = _from_buffer(each.name, raw, "<u2").astype(np.uint32) << 16
        return words.view(np.float32).astype(np.float64)
    kind = _RAW.get(each.datatype)
    if kind is None:
        raise BodyError(f"{each.name:.80}: {each.datatype:.20} is no datatype of the protocol")
    name, code, size = kind
    count, rest = divmod(len(raw), size)
    if count <= _FEW and not rest:
        return list(struct.unpack(f"<{count}{code}", raw))
    return _from_buffer(each.name, raw, name).astype(np.float64)


def _from_buffer(name: str, raw: bytes, kind: str) -> NDArray[Any]:
    try:
        return np.frombuffer(raw, dtype=kind)
    except ValueError as error:
        raise BodyError(f"{name:.80}: {len(raw)} bytes are no whole number of values") from error


def _texts(name: str, raw: bytes) -> list[object]:
    """Return texts that have their lengths before them, in 4 bytes each."""
    texts: list[object] = []
    at = 0
    while at < len(raw):
        if at + 4 > len(raw):
            break
        (length,) = struct.unpack_from("<I", raw, at)
        at += 4
        if at + length > len(raw):
            break
        texts.append(raw[at : at + length].decode(errors="replace"))
        at += length
    else:
        return texts
    raise BodyError(f"{name:.80}: the raw contents end within a text")
