"""Labels on the host: connected components, consecutive numbers, objects and how two labellings overlap."""

from shiftjax.labelling._components import connected_components as connected_components
from shiftjax.labelling._components import drop_small as drop_small
from shiftjax.labelling._objects import sparse as sparse
from shiftjax.labelling._regions import Regions as Regions
from shiftjax.labelling._regions import regions as regions
from shiftjax.labelling._relabel import relabel as relabel
