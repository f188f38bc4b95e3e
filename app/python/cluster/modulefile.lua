-- Cruxscope for Lmod: MODULEPATH/cruxscope/0.1.0.lua. The root is the virtual environment into which pip has installed the wheel.
local root = "/apps/cruxscope/0.1.0"

help([[Finds the weights that a language model's reasoning depends on, and shows what compression did to them: cruxscope --help]])
whatis("Name: cruxscope")
whatis("Description: importance of weight matrices for reasoning, shifts by quantization and pruning")

prepend_path("PATH", pathJoin(root, "bin"))
prepend_path("MANPATH", pathJoin(root, "share/man"))
