"""Block sizes and thresholds of the kernels, each with its unit and the reason for its size.

They were measured on two cores with 1 MB of level-2 cache each; ratios carry over to other
machines, so none depends on the machine a process runs on. They decide the order in which sums are
taken, hence the last bits of results: results for equal sizes, dtypes and threads stay equal as
long as this page does. A *number* below is one element of an array, 4 or 8 bytes.
"""

__all__: list[str] = []  # read as ``tuning.NAME``

# --- which backend, which algorithm ------------------------------------------------------------

# Numbers in the largest array of a call from which on Numba's kernels run. Numba takes half a
# second to load: a run of a tiny network is over before Numba would have been there.
NUMBA_MIN_SIZE = 2**15

# Multiply-adds of a batch, forward, up to which a network is computed by a program (fast/program):
# beyond, what lies between the kernels is little beside what two threads and the processor's full
# width save. A narrow network, whose convolutions have few filters and whose dense layers are
# small, gives kernels less to do at a time, and the program stays ahead for longer.
PROGRAM_MAX_WORK = 2**22
PROGRAM_MAX_NARROW_WORK = 2**27
# Filters of a convolution, and weights of a layer, up to which a network is narrow.
PROGRAM_NARROW = 16
PROGRAM_LIGHT = 2**16

# Multiplications (for each pair of a channel and a filter) that take as long as transforming one
# 3 x 3 kernel for Winograd's algorithm, which reads and writes 25 numbers.
WINOGRAD_TRANSFORM_COST = 750

# Channels and filters below which the 16 products of Winograd's algorithm are too thin to be fast.
WINOGRAD_MIN_CHANNELS = 16

# --- both backends -----------------------------------------------------------------------------

# Rows that are summed in the array's own precision, which vectorizes; the sums of these runs are
# added in float64, which keeps the digits.
SUM_ROWS = 64

# A product of at most VECTOR_ROWS rows with a matrix of at least VECTOR_MATRIX numbers is computed
# as products with vectors: a product of matrices would first copy the matrix into its own order.
VECTOR_ROWS = 3
VECTOR_MATRIX = 2**20

# Tiles in a block of Winograd's algorithm, at least: fewer rows make slow products.
WINOGRAD_MIN_TILES = 128

# --- NumPy -------------------------------------------------------------------------------------

# Numbers in the two factors' rows of a block of a product: 1 MB of float32.
NUMPY_MATMUL_BLOCK = 2**18
# Rows of such a block, at least: a product of fewer spends its time on preparing the other factor.
NUMPY_MATMUL_MIN_ROWS = 256

# Numbers in a block of patches, half a megabyte of float32, and rows of it, at least.
NUMPY_PATCH_BLOCK = 2**17
NUMPY_PATCH_MIN_ROWS = 192
# Numbers in all patches up to which they are one block, which the backward pass uses again.
NUMPY_PATCH_REUSE = 2**15

# Numbers in each of the 16 matrices of a block of Winograd's algorithm.
NUMPY_WINOGRAD_BLOCK = 2**15

# --- Numba -------------------------------------------------------------------------------------

# Numbers in a thread's block of a product or of patches: half a megabyte of float32, half of a
# core's own cache.
NUMBA_BLOCK = 2**17
# Rows of such a block, at least: a product of fewer spends its time on preparing the other factor.
NUMBA_MIN_ROWS = 192

# Rows from which on threads divide the rows that a^T b sums over.
NUMBA_MATMUL_TALL = 768
# Rows that a^T b sums over at once.
NUMBA_MATMUL_DEPTH = 1024
# Columns of a that a block of a^T b takes, at least.
NUMBA_MATMUL_MIN_COLUMNS = 64
# Numbers in the result of a^T b from which on threads divide the result among them, instead of
# each adding up a result of its own.
NUMBA_MATMUL_DIVIDE_RESULT = 2**17

# Columns that blocks of a product are rounded up to: one vector register of float32.
NUMBA_COLUMN_STEP = 16
# Columns of a result for each thread, at least, for threads to divide columns.
NUMBA_MIN_COLUMNS_PER_THREAD = 32
# Rows of a result for each thread, at least, for threads to divide rows.
NUMBA_MIN_ROWS_PER_THREAD = 16
# Blocks for each thread from which on an uneven division no longer leaves threads idle.
NUMBA_BLOCKS_PER_THREAD = 4

# Weights from which on threads work on the gradient of all weights in phases, instead of each
# adding up a gradient of its own.
NUMBA_PATCH_DIVIDE_WEIGHTS = 2**16
# Numbers in the patches of one such phase, which all threads share: 4 MB of float32.
NUMBA_PATCH_PHASE = 2**20

# Numbers in each of a thread's 16 matrices: 1 MB of float32 for all of them.
NUMBA_WINOGRAD_BLOCK = 2**14
# Numbers in each of the 16 matrices that all threads share in phases: 8 MB of float32.
NUMBA_WINOGRAD_PHASE = 2**17
# Blocks for each thread from which on threads work on whole blocks instead of phases.
NUMBA_WINOGRAD_BLOCKS_PER_THREAD = 3
