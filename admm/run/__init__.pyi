from .costs import Message as Message, StageCosts as StageCosts, WorkerCosts as WorkerCosts
from .estimate import Estimate as Estimate, estimate as estimate
from .history import Evaluation as Evaluation
from .inference import evaluate as evaluate, predict as predict
from .method import Arrays as Arrays, Network as Network, Share as Share, Training as Training
from .options import MethodOptions as MethodOptions, codec_option as codec_option, option as option
from .registry import find_method as find_method, solver_places as solver_places
from .resume import resumed as resumed
from .run import train as train
from .saved import Saved as Saved
from .stopping import below as below, patience as patience
from .summary import Result as Result
