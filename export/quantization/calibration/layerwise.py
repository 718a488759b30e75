"""Layer-wise execution of a graph on calibration images."""

import copy

import numpy as np

from keras_vit.export.quantization.calibration.observer import open_graph


class LayerwiseRunner:
    """Runs a graph on all images, only as far as tensors are asked for.

    Each operator runs once per image, however many tensors are asked for on the way:
    a layer that is changed before its turn shows in all that come after it.

    Args:
        graph: `TFLiteGraph` with one input; may be edited ahead of what was computed.
        images: (N, H, W, C) float32.

    Attributes:
        values: {number: list of N arrays}, of tensors that are still of use.
    """

    def __init__(self, graph, images):
        self.graph = graph
        self.count = len(images)
        self.values = {graph.inputs[0]: [image[None] for image in images]}
        self.left = graph.ordered()

    def advance(self, wanted):
        """Compute tensors, and keep them and the inputs of later operators.

        Args:
            wanted: numbers of tensors.
        """
        missing = [number for number in wanted if number not in self.values]
        todo = self._behind(missing)
        if todo:
            self._run(todo, missing)
            self.left = [op for op in self.left if op not in todo]
        keep = {i for op in self.left for i in op.inputs} | set(wanted)
        self.values = {n: rows for n, rows in self.values.items() if n in keep}

    def branch(self):
        """Make an independent runner on a copy of the graph, from this state."""
        runner = copy.copy(self)
        runner.graph, runner.values = self.graph.copy(), dict(self.values)
        places = [self.graph.operators.index(op) for op in self.left]
        runner.left = [runner.graph.operators[place] for place in places]
        return runner

    def _behind(self, wanted):
        """The operators still to run for some tensors, in order."""
        needed, todo = set(wanted), []
        for op in reversed(self.left):
            if needed & set(op.outputs):
                needed.update(op.inputs)
                todo.append(op)
        return todo[::-1]

    def _run(self, todo, wanted):
        """Run operators on all images, as a graph of their own."""
        outputs = {number for op in todo for number in op.outputs}
        later = {i for op in self.left if op not in todo for i in op.inputs}
        inputs = {i for op in todo for i in op.inputs if i in self.values}
        part = copy.copy(self.graph)
        part.model = copy.copy(self.graph.model)
        part.model.signatureDefs = []
        part.operators, part.inputs = todo, sorted(inputs)
        part.outputs = sorted(outputs & (later | set(wanted)))
        interpreter, numbers = open_graph(part)
        for number in part.outputs:
            self.values[number] = []
        for index in range(self.count):
            for number in part.inputs:
                interpreter.set_tensor(numbers[number], self.values[number][index])
            interpreter.invoke()
            for number in part.outputs:
                self.values[number].append(interpreter.get_tensor(numbers[number]))


def rows_of(values):
    """Reshape each array of a list to (T, D) float32."""
    return [np.asarray(x).reshape(-1, x.shape[-1]) for x in values]
