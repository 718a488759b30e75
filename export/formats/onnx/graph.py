"""A builder of ONNX graphs: nodes with readable names, constants as arrays."""

import contextlib

import numpy as np


class OnnxGraph:
    """A graph under construction: nodes and constants, in order of execution.

    Constants stay numpy arrays until `serialization.save` writes them one by one, so
    that a large model is never held twice.

    Args:
        opset: version of the operator set. name: of the graph.

    Attributes:
        nodes: list of `onnx.NodeProto`.
        constants: name -> numpy array.
        inputs, outputs: lists of `onnx.ValueInfoProto`.
        domains: name of any other operator set -> version.
        facts: what the file says about itself, name -> str.
    """

    def __init__(self, opset, name="model"):
        self.opset = opset
        self.name = name
        self.nodes = []
        self.constants = {}
        self.inputs, self.outputs = [], []
        self.domains = {}
        self.facts = {}
        self._scopes = []
        self._names = set()

    @contextlib.contextmanager
    def scope(self, name):
        """Prefix the names of all nodes made inside with a layer's name."""
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def reserve(self, names):
        """Reserve these names, so that no new tensor gets them."""
        self._names.update(names)

    def _unique(self, hint):
        first = name = "/".join((*self._scopes, hint))
        count = 1
        while name in self._names:
            count += 1
            name = f"{first}_{count}"
        self._names.add(name)
        return name

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

    def copy_node(self, node, inputs):
        """Copy a node with other inputs; returns the name of the result."""
        twin = type(node)()
        twin.CopyFrom(node)
        twin.input[:] = inputs
        twin.name = self._unique(node.op_type)
        twin.output[:] = [twin.name]
        self.nodes.append(twin)
        return twin.name

    def array(self, values, hint, dtype="float32"):
        """Add a constant tensor; returns its name."""
        name = self._unique(hint)
        self.constants[name] = np.asarray(values, dtype=dtype)
        return name

    def integers(self, values):
        """Add an int64 list or scalar as a constant; equal ones are shared."""
        values = np.array(values, dtype="int64")
        shown = "x".join(map(str, values.reshape(-1)))
        name = f"int{values.ndim}d_{shown}"
        self.reserve([name])
        self.constants[name] = values
        return name

    def reshape(self, tensor, shape):
        """Add a Reshape; 0 keeps a dimension, -1 is computed."""
        return self.add("Reshape", tensor, self.integers(list(shape)))

    def transpose(self, tensor, *order):
        """Add a Transpose of the axes."""
        return self.add("Transpose", tensor, perm=list(order))

    def slice(self, tensor, start, end, axis, step=1):
        """Add a Slice of one axis."""
        ranges = [self.integers([value]) for value in (start, end, axis, step)]
        return self.add("Slice", tensor, *ranges)

    def rewrite(self, replace):
        """Pass every node to a function that may write other nodes in its place.

        Args:
            replace: function of a node. It adds nodes and returns the name of the
                result, which the last of them makes; or None to keep the node.

        Returns:
            How many nodes were replaced.
        """
        old, self.nodes, count = self.nodes, [], 0
        for node in old:
            with self.scope(node.name or node.output[0]):
                result = replace(node)
            if result is None:
                self.nodes.append(node)
            else:
                self.nodes[-1].output[0] = node.output[0]
                count += 1
        used = {name for node in self.nodes for name in node.input}
        self.constants = {k: v for k, v in self.constants.items() if k in used}
        return count

    def name_outputs(self, tensors, names):
        """Rename tensors to their public output names.

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
        """Copy a tensor under another name."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [tensor], [name], name=name))
