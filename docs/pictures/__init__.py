"""Pictures of the documentation: those that explain, and those that measure."""

# Modules with a function `draw`, and files of docs/images.
PICTURES = ("workers", "timeline", "ticks", "run_folder", "codes", "halo", "federated_round")

# Files of docs, and the stored rows that `benchmarks draw` makes them of.
MEASURED = {
    "accuracy": (
        *("accuracy", "accuracy-500", "accuracy-paper", "accuracy-rivals", "accuracy-rivals-cs"),
    ),
    "communication": ("communication",),
    "convergence": ("convergence",),
    "depth": ("depth", "depth-passes"),
    "kernels": ("kernels",),
    "network": ("network",),
    "scaling": ("scaling",),
    "speedup": ("speedup16",),
    "subnetworks": ("tssm",),
    "time-to-accuracy": ("time-to-accuracy",),
}
