#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: build, check and time our GPU kernels and whole plans, in one run of under eight
# minutes.
#   benchmarks/gpu.sh [RESULTS]     RESULTS: where JSON lines are appended, benchmarks/results/gpu.jsonl by default
# Needs what a PyTorch image holds (torch, triton, numpy, pandas, pytest) and installs nothing.
set -uo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
results=${1:-benchmarks/results/gpu.jsonl}
shares=${SHARES:-6}
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 OMP_NUM_THREADS=2
scratch=$(mktemp -d)
export PRECISION_EXPLORER_HOME=$scratch/home TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-$scratch/triton}
trap 'rm -rf "$scratch"' EXIT

"$python" - <<'CHECK' || exit 1
import sys, torch, triton
import explorer
if not torch.cuda.is_available():
    sys.exit("gpu.sh: torch finds no CUDA device here, so nothing was built, checked or timed")
name, (major, minor) = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
if (major, minor) < (8, 0):
    sys.exit(f"gpu.sh: our kernels need an sm_80 GPU; this is {name}, sm_{major}{minor}")
print(f"{name}, sm_{major}{minor}, torch {torch.__version__}, Triton {triton.__version__}")
CHECK

# Compiling is most of the work and needs no quiet GPU: the tests and the benchmark's launches, all at once.
declare -A jobs
for file in tests/kernels_triton/test_*.py; do
    timeout 210 "$python" -m pytest -q -W default -p no:cacheprovider "$file" >"$scratch/$(basename "$file").log" 2>&1 &
    jobs[$!]=$(basename "$file")
done
for ((share = 0; share < shares; share++)); do
    timeout 210 "$python" -m benchmarks.gpu_kernels compile "$share" "$shares" >"$scratch/compile $share.log" 2>&1 &
    jobs[$!]="compile $share"
done

failed=0
for job in "${!jobs[@]}"; do
    if wait "$job"; then
        echo "${jobs[$job]}: $(tail -n 1 "$scratch/${jobs[$job]}.log")"
    else
        failed=1
        echo "FAILED ${jobs[$job]}"
        tail -n 40 "$scratch/${jobs[$job]}.log"
    fi
done
echo "built and tested after $SECONDS s"

# Each part gets what is left of its time, begins nothing after it, and writes every line as it is found.
kernels=$((SECONDS > 215 ? 135 : 350 - SECONDS))
timeout $((kernels + 20)) "$python" -m benchmarks.gpu_kernels time "$results" "$kernels" || failed=1
echo "kernels timed after $SECONDS s"
plans=$((455 - SECONDS))
timeout $((plans + 15)) "$python" -W ignore -m benchmarks.gpu_plans "$results" "$plans" || failed=1
echo "done after $SECONDS s"
if ((failed)); then
    echo "gpu.sh: FAILED, see above" >&2
fi
exit "$failed"
