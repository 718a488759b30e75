"""Building an ONNX graph node by node, with readable names and no duplicates."""

import collections
import contextlib

import numpy as np


class Graph:
    """Nodes and constants in the making.

    Args:
        opset: version of the operator set.

    Attributes:
        nodes: list of `onnx.NodeProto`.
        constants: name -> `onnx.TensorProto`.
    """

    def __init__(self, opset):
        self.opset = opset
        self.nodes = []
        self.constants = {}
        self._scopes = []
        self._used = collections.Counter()
        self._lists = {}

    @contextlib.contextmanager
    def scope(self, name):
        """Put a layer's name before the names of everything made inside."""
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def _unique(self, hint):
        name = "/".join((*self._scopes, hint))
        self._used[name] += 1
        count = self._used[name]
        return name if count == 1 else f"{name}_{count}"

    def add(self, operator, *inputs, outputs=1, **attributes):
        """Add a node.

        Args:
            operator: ONNX name. inputs: names of tensors. outputs: how many.
            **attributes: of the operator.

        Returns:
            Name of the output, or a list of names when there are several.
        """
        from onnx import helper

        name = self._unique(operator)
        results = [name] if outputs == 1 else [f"{name}:{i}" for i in range(outputs)]
        node = helper.make_node(
            operator, list(inputs), results, name=name, **attributes
        )
        self.nodes.append(node)
        return name if outputs == 1 else results

    def array(self, values, hint):
        """Add a constant tensor of float32 values; gives its name."""
        from onnx import numpy_helper

        name = self._unique(hint)
        values = np.ascontiguousarray(values, dtype="float32")
        self.constants[name] = numpy_helper.from_array(values, name)
        return name

    def integers(self, values):
        """Constant list of int64, or a scalar; equal ones are shared."""
        from onnx import numpy_helper

        values = np.array(values, dtype="int64")
        key = (values.shape, values.tobytes())
        if key not in self._lists:
            shown = "x".join(map(str, values.reshape(-1)))
            name = f"int{values.ndim}d_{shown}"
            self._lists[key] = name
            self.constants[name] = numpy_helper.from_array(values, name)
        return self._lists[key]

    def reshape(self, tensor, shape):
        """Reshape; 0 keeps a dimension, -1 is computed."""
        return self.add("Reshape", tensor, self.integers(list(shape)))

    def transpose(self, tensor, *order):
        """Reorder the axes."""
        return self.add("Transpose", tensor, perm=list(order))

    def slice(self, tensor, start, end, axis, step=1):
        """Cut a range out of one axis."""
        ranges = [self.integers([value]) for value in (start, end, axis, step)]
        return self.add("Slice", tensor, *ranges)

    def name_outputs(self, tensors, names):
        """Give tensors their public names.

        A node whose result leaves the graph once is renamed; anything else gets
        an Identity.
        """
        makers = {name: node for node in self.nodes for name in node.output}
        for tensor, name in zip(tensors, names, strict=True):
            if tensor not in makers or tensors.count(tensor) > 1:
                self.add_identity(tensor, name)
                continue
            for node in self.nodes:
                for field in (node.input, node.output):
                    for index, value in enumerate(field):
                        if value == tensor:
                            field[index] = name

    def add_identity(self, tensor, name):
        """Copy a tensor under a given name."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [tensor], [name], name=name))
