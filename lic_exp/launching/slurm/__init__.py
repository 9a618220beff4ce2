"""The cells of a sweep as SLURM jobs: submitted as arrays, watched through squeue, requeued from inside the job."""
