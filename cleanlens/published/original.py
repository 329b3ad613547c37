"""`python -m cleanlens.published.original --tests FOLDER --baseline PYTHON`: the original library's own tests, run here.

FOLDER is `tests` of its source distribution (`pip download --no-deps --no-binary :all: "transformer_lens<4"`, unpacked),
PYTHON that of an environment with the original and pytest; its tests import typeguard, here too. Both run every test,
without the network. Counted are those
that the original passes so, first all of them and then without what is no part of HookedTransformer's API.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from tqdm import tqdm

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

# Why a test of version 3.9 is no part of the API that cleanlens keeps; patterns of the tests' names, without `tests.`.
LEFT_OUT = {
    "TransformerBridge and version 3's machinery around it": """
        *model_bridge* *bridge* *.benchmarks.* benchmarks.* unit.tools.* unit.model_registry.* unit.scripts.* mps.*
        unit.test_activation_cache::* unit.test_benchmark_utils* unit.test_gradient_mismatch* unit.test_lit*
        unit.test_direct_path_patching* unit.test_optional_submodule* unit.test_verify_models* unit.test_make_docs*
        unit.test_weight_processing* unit.weight_conversion.* unit.utilities.test_aliases* unit.test_tracr*
        unit.utilities.test_typed_module_list* unit.utilities.test_quantization_guards*
        integration.test_attribution_patching* integration.test_backward_lens* integration.test_jacobian_lens*
        integration.test_centralized_weight* integration.test_fold_layer_int* integration.test_generation_comp*
        integration.test_hook_shape* integration.test_main_demo* integration.test_tensor_extraction*
        integration.test_weight_processing_int*
    """,
    "version 3's own loading: remote code, quantized files, retries, several devices": """
        unit.utilities.test_hf_utils* unit.utilities.test_multi_gpu* unit.utilities.test_devices*
        unit.test_loading_from_pretrained_utilities* acceptance.test_multi_gpu*
    """,
    "warnings that version 4 will take names away": """
        unit.test_deprecation_warnings* *::test_legacy_hook_points_import_still_works *::test_V_and_Vh_alias_match
    """,
    "families that are not built: Gemma, OLMo, T5, HuBERT, experts, 4 bits, the first Qwen, next sentences": """
        unit.test_dropped_inference_ops* unit.test_hubert* unit.test_moe_fold_guard* unit.test_post_norm_processing*
        unit.test_next_sentence* unit.components.*.test_moe* unit.components.*gpt_oss* unit.components.*olmo*
        unit.components.test_attention.TestLogN* unit.components.test_attention.TestDynamicNTK*
        unit.components.test_attention::*4bit* unit.components.test_attention::*clip_qkv*
        unit.components.test_attention::*local_rotary* unit.factories.*moe* unit.factories.*4bit*
        unit.factories.*xielu* unit.pretrained_weight_conversions.*apertus* unit.pretrained_weight_conversions.*gemma*
        unit.pretrained_weight_conversions.*hubert* unit.pretrained_weight_conversions.*mixtral*
        unit.pretrained_weight_conversions.*olmo* unit.pretrained_weight_conversions.*openai*
        unit.test_supported_models::*olmo* acceptance.test_hooked_encoder_decoder*
    """,
}


def why_left_out(name: str) -> str | None:
    """Why this test is no part of the API; None when it is."""
    name = name.removeprefix("tests.")
    for reason, patterns in LEFT_OUT.items():
        if any(fnmatch(name, pattern.replace("[", "[[]")) for pattern in patterns.split()):
            return reason
    return None


def run_tests(python: str, folder: Path, root: Path, options: Sequence[str] = ()) -> dict[str, str]:
    """The outcome of every test in this folder of `root`, not in those below it: "passed", "skipped", or why it
    failed.

    Raises:
        ValueError: this Python cannot run pytest there.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        files = sorted(str(path) for path in folder.glob("test_*.py"))
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
        command += ["-o", "addopts=", f"--rootdir={root.parent}", f"--junitxml={report}", *options, *files]
        ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **OFFLINE})
        if not report.exists():
            raise ValueError(
                f"{python} could not run pytest in {folder}:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
            )
        return dict(_outcomes(ET.parse(report).getroot()))


def _outcomes(report: ET.Element) -> Iterator[tuple[str, str]]:
    for case in report.iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name')}".lstrip(":")
        bad = next((found for found in case if found.tag in ("failure", "error", "skipped")), None)
        if bad is None:
            yield name, "passed"
        else:
            why = (bad.get("message") or bad.tag).strip().splitlines()[0]
            yield name, "skipped" if bad.tag == "skipped" else why


def summary(here: Mapping[str, str], original: Mapping[str, str] | None = None) -> str:
    """What the outcomes show, in words and figures; without the original's, of all tests that were found."""
    counted = {
        name: here.get(name, "not found")
        for name, outcome in (original or here).items()
        if outcome == "passed"
    }
    counted = (
        counted if original is not None else {name: why for name, why in here.items() if why != "skipped"}
    )
    reasons = {name: why_left_out(name) for name in counted}
    ours = {name: why for name, why in counted.items() if reasons[name] is None}
    what = (
        "tests that the original passes without the network"
        if original is not None
        else "tests that were not skipped"
    )
    lines = [
        f"{_share(counted.values())} of the {what} pass here.",
        *(
            f"  {n:5} of them left out below: {reason}"
            for reason, n in Counter(filter(None, reasons.values())).items()
        ),
        f"{_share(ours.values())} of those that belong to HookedTransformer's API pass here. The others:",
        *(f"  {name.removeprefix('tests.')}: {why[:120]}" for name, why in ours.items() if why != "passed"),
    ]
    return "\n".join(lines)


def _share(outcomes: Iterable[str]) -> str:
    outcomes = list(outcomes)
    passed = outcomes.count("passed")
    return f"{passed:,} ({passed / max(len(outcomes), 1):.1%}) of {len(outcomes):,}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m cleanlens.published.original", description=__doc__)
    parser.add_argument(
        "--tests", type=Path, required=True, help="the folder `tests` of the original's sources"
    )
    parser.add_argument(
        "--baseline", metavar="PYTHON", help="of an environment with the original; else all are counted"
    )
    parser.add_argument(
        "--only", default="*", help="folders whose path below FOLDER matches, such as 'unit*'"
    )
    given = parser.parse_args(arguments)
    root = given.tests.resolve()
    folders = sorted({path.parent for path in root.rglob("test_*.py")})
    folders = [folder for folder in folders if fnmatch(folder.relative_to(root).as_posix(), given.only)]
    if not folders:
        parser.error(f"{root} has no folder like {given.only!r} with tests in it")
    here: dict[str, str] = {}
    original: dict[str, str] = {}
    for folder in (bar := tqdm(folders, unit="folder")):
        bar.set_description(folder.relative_to(root).as_posix())
        here |= run_tests(sys.executable, folder, root, ["-p", "cleanlens.transformer_lens"])
        if given.baseline:
            original |= run_tests(given.baseline, folder, root)
    print(summary(here, original if given.baseline else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
