"""A small report in which every fact is given, and the same with every optional one missing."""

from __future__ import annotations

from gancompress.report import (
    Candidate,
    ExportFacts,
    FileRow,
    FileSpeed,
    Latency,
    MacFacts,
    MetricValue,
    NetworkFacts,
    RankFacts,
    Report,
    Samples,
    SearchFacts,
    StepFacts,
)

TEACHER = NetworkFacts(
    name="teacher",
    family="resnet_9blocks",
    plan="64_128_256",
    parameters=11_378_179,
    weight_bytes=45_512_716,
    file_bytes=45_530_000,
    macs=MacFacts(true=49_551_507_456, outsize=56_799_264_768, gc=56_831_770_624, gi=52.898),
    peak_activation_bytes=46_924_288,
    latency_ms={"eager": Latency(120.0, 118.0, 131.0), "onnxruntime": Latency(80.0, 79.0, 88.0)},
    metrics={
        "fid": MetricValue(24.21, 500, "clean resizing", "lower", 23.4, 25.3),
        "mIoU": MetricValue(41.8, 500, "11 classes", "higher", 41.0, 42.6),
    },
)
COMPRESSED = NetworkFacts(
    name="compressed",
    family="mobile_resnet_9blocks",
    plan="16_32_64",
    parameters=1_137_000,
    weight_bytes=4_548_000,
    file_bytes=4_560_000,
    macs=MacFacts(true=4_950_000_000, outsize=5_700_000_000, gc=5_710_000_000, gi=5.31),
    peak_activation_bytes=11_731_072,
    latency_ms={"onnxruntime": Latency(16.0, 15.5, 18.25)},
    metrics={
        "lpips": MetricValue(0.0873, 500, "squeeze", "lower"),
        "fid": MetricValue(25.03, 500, "clean resizing", "lower", 24.1, 26.2),
        "mIoU": MetricValue(38.2, 500, "11 classes", "higher", 37.4, 39.0),
    },
)
FULL = Report(
    title="Labels to photos",
    recipe="task: paired\nseed: 7\n",
    seed=7,
    environment={
        "python": "3.11.9",
        "torch": "2.13.0",
        "cpu": "two cores",
        "threads": 2,
        "device": "cpu",
        "site": "lab",
    },
    networks=[TEACHER, COMPRESSED],
    steps=[
        StepFacts(
            name="distil the student",
            kind="distill",
            num_images=4000,
            seconds=512.0,
            images_per_second=7.81,
            losses=[(100 * step, {"G_recon": 30.0 / step, "D": 0.5 + step % 3}) for step in range(1, 41)],
            note="From the most important channels.",
        ),
        StepFacts(name="search", kind="search", num_images=0, seconds=4.2),
    ],
    search=SearchFacts(
        metric="fid",
        better="lower",
        cost_name="MACs (true)",
        candidates=[Candidate("8_8", 2e9, 31.0), Candidate("16_32", 4.95e9, 25.5, True), Candidate("16_16", 5e9, 29.0)],
        budget=5.5e9,
        final_cost=5.25e9,
        num_compared=2,
        num_undecided=1,
        agreement=RankFacts(0.5, 0.25, (-0.5, 1.0), (-0.25, 0.75), 12),
    ),
    samples=Samples("samples.png", "Input, teacher and compressed"),
    exports=[
        ExportFacts(
            "onnx, int8",
            "exports/model.fastest.onnx",
            4_600_000,
            7.5e-6,
            'session = ort.InferenceSession("model.onnx")',
            tried=[
                FileRow("fp32", Latency(9.25, 9.0, 9.5), 1.0, 1.0, 1.0, 107.4, threads=2),
                FileRow("int8 where it pays", Latency(4.625, 4.5, 5.0), 2.03, 1.96, 2.11, 31.4, best=True, threads=1),
            ],
            speed=FileSpeed("onnxruntime", 2, Latency(4.625, 4.5, 5.0), Latency(120.0, 118.0, 131.0), 25.9, 25.4, 26.3),
        )
    ],
    notes=["One seed."],
    input_size="1x3x256x256",
)
BARE = Report(
    title="Nothing measured",
    recipe="",
    seed=0,
    environment={},
    networks=[
        NetworkFacts("teacher", "resnet_9blocks", None, 11_378_179, 45_512_716),
        NetworkFacts("compressed", "resnet_9blocks", None, 1_137_000, 4_548_000),
    ],
)
