"""What LLVM makes of the kernels for 64-bit ARM, whose vectors have four lanes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

# In a process of its own, whose compiler does not turn the code into that of this machine first.
PROGRAM = """
import json, re
import llvmlite.binding as llvm
from numba import njit, types
from truesparse.kernels.activation import activation_forward
from truesparse.kernels.sddmm import sddmm
from truesparse.kernels.spmm import spmm
from truesparse.kernels.update import sgd_momentum

i, f = types.int64, types.float32
starts, columns, vector = (types.Array(kind, 1, "C") for kind in (i, types.uint16, f))
tiles, panels = types.Array(types.int32, 2, "C"), types.Array(f, 3, "C")
kernels = {
    "spmm": (spmm(16, 4), (panels, tiles, starts, columns, vector, panels, vector, i, i, i, i, i)),
    "sddmm": (sddmm(20), (vector, tiles, starts, columns, panels, panels, i, i, i, i, i)),
    "tanh": (activation_forward("tanh", 16), (panels, vector)),
    "sgd_momentum": (sgd_momentum, (vector, vector, vector, f, f, f, f)),
}
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
triple = "aarch64-linux-gnu"
for name, (kernel, arguments) in kernels.items():
    alone = njit(kernel.py_func, error_model="numpy")  # what each task is, without threads
    alone.compile(arguments)
    (module,) = alone.inspect_llvm().values()
    module = re.sub('target triple = ".*"', f'target triple = "{triple}"', module)
    module = re.sub('target datalayout = ".*"', "", module)
    parsed = llvm.parse_assembly(module)
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu="neoverse-n1", opt=3)
    parsed.data_layout = str(machine.target_data)
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    assembly = machine.emit_assembly(parsed)
    vectors = re.findall(r"\\sfml[as]\\s.*\\.4s", assembly)
    scalars = re.findall(r"\\sfn?m(?:add|sub)\\s", assembly)
    print(json.dumps([name, len(vectors), len(scalars)]))
"""


def test_multiply_adds_are_those_of_vectors() -> None:
    plain = {"NUMBA_OPT": "0", "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, env={**os.environ, **plain}, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [name for name, _, _ in lines] == ["spmm", "sddmm", "tanh", "sgd_momentum"]
    for name, vectors, scalars in lines:
        assert vectors >= 10, name
        assert scalars == 0, name
