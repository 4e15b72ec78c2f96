(* Gradient descent at a learning rate that is not small: an identity of the form of Theorem 1 that is exact at any
   step size. The gradient at the query is averaged over the segment of each step; the kernel that this gives is not
   symmetric.

   Nothing is asked of the loss: the numbers L'_i drive the descent, whatever they are the derivative of.

   Carries: E1, E6, E7 (in steps). *)
From Coq Require Import Reals Lra Lia List.
From mathcomp Require Import ssreflect.
From Coquelicot Require Import Coquelicot.
From PathKernel Require Import FundamentalTheorem Euclidean Gradients Identity.
Open Scope R_scope.

(* from a (u = 0) to b (u = 1) *)
Definition segment {n : nat} (a b : Vec n) (u : R) : Vec n := plus a (scal u (minus b a)).

(* <gradient at x averaged over the segment from a to b, gradient at x_i at a> *)
Definition segment_kernel (P : problem) (a b : Vec (dim P)) (x x' : Input P) : R :=
  RInt (fun u => dot (grad_output P (segment a b u) x) (grad_output P a x')) 0 1.

Lemma segment_starts {n : nat} (a b : Vec n) : segment a b 0 = a.
Proof. unfold segment. now rewrite (scal_zero_l (K := R_Ring)) plus_zero_r. Qed.

Lemma segment_ends {n : nat} (a b : Vec n) : segment a b 1 = b.
Proof. unfold segment, minus. now rewrite (scal_one (K := R_Ring)) plus_comm -plus_assoc plus_opp_l plus_zero_r. Qed.

Lemma segment_derive {n : nat} (a b : Vec n) u : is_derive (segment a b) u (minus b a).
Proof.
assert (H := is_derive_plus (fun _ : R => a) (fun s : R => scal s (minus b a)) u zero (scal one (minus b a))
     (is_derive_const a u) (is_derive_scal_l (fun s : R => s) u one (minus b a) (is_derive_id u))).
now rewrite plus_zero_l scal_one in H.
Qed.

(* One step along a weighted sum of the examples' gradients. *)
Lemma one_step (P : problem) (c : nat -> R) (a : Vec (dim P)) (x : Input P) :
  let b := minus a (vsum (size P) (fun i => scal (c i * dloss P a i) (grad_output P a (example P i)))) in
  (forall u, 0 <= u <= 1 ->
     is_grad (fun v => output P v x) (segment a b u) (grad_output P (segment a b u) x)) ->
  (forall i, (i < size P)%nat ->
     ex_RInt (fun u => dot (grad_output P (segment a b u) x) (grad_output P a (example P i))) 0 1) ->
  output P b x
    = output P a x - sum (size P) (fun i => c i * dloss P a i * segment_kernel P a b x (example P i)).
Proof.
intros b Hd Hint.
set (G := vsum (size P) (fun i => scal (c i * dloss P a i) (grad_output P a (example P i)))) in b.
set (g := fun u => grad_output P (segment a b u) x).
set (rate := fun u => sum (size P) (fun i => (c i * dloss P a i) * dot (g u) (grad_output P a (example P i)))).
assert (HI : is_RInt rate 0 1 (sum (size P) (fun i => (c i * dloss P a i) * segment_kernel P a b x (example P i)))).
{ apply is_RInt_sum; intros i Hi. apply (@is_RInt_scal R_NormedModule), is_RInt_RInt, Hint, Hi. }
assert (Hcont : continuous_on 0 1 (fun u => output P (segment a b u) x)).
{ apply continuous_continuous_on; intros u Hu.
  apply (continuous_comp (segment a b) (fun v => output P v x)); [|eapply is_grad_continuous, Hd, Hu].
  apply (ex_derive_continuous (segment a b)). eexists; apply segment_derive. }
rewrite -{1}(segment_ends a b) -{2}(segment_starts a b).
refine (change_along_descent nil (segment a b) (fun _ => G) 1 (fun v => output P v x) g
          rate _ Rle_0_1 _ _ _ Hcont HI).
- intros u _. assert (Eb : minus b a = opp G).
  { unfold b, minus. rewrite (plus_comm a) -plus_assoc plus_opp_r. apply plus_zero_r. }
  rewrite -Eb. apply segment_derive.
- intros u [Hu _]. apply Hd; lra.
- intros u _. unfold rate, G. rewrite dot_vsum_r. apply sum_ext; intros i _. apply dot_scal_r.
Qed.

(* Any steps that are weighted sums over the examples: c s i is the learning rate of step s (E7) times the number of
   times that example i is in its batch, times m / B (E6). Nothing is asked of the weights. *)
Theorem E6 (P : problem) (c : nat -> nat -> R) (w : nat -> Vec (dim P)) (S : nat) (x : Input P) :
  (forall s, (s < S)%nat -> w (s + 1)%nat = minus (w s)
     (vsum (size P) (fun i => scal (c s i * dloss P (w s) i) (grad_output P (w s) (example P i))))) ->
  (forall s u, (s < S)%nat -> 0 <= u <= 1 -> is_grad (fun v => output P v x)
     (segment (w s) (w (s + 1)%nat) u) (grad_output P (segment (w s) (w (s + 1)%nat) u) x)) ->
  (forall s i, (s < S)%nat -> (i < size P)%nat ->
     ex_RInt (fun u => dot (grad_output P (segment (w s) (w (s + 1)%nat) u) x) (grad_output P (w s) (example P i)))
       0 1) ->
  output P (w S) x = output P (w O) x
    - sum S (fun s => sum (size P) (fun i =>
        c s i * dloss P (w s) i * segment_kernel P (w s) (w (s + 1)%nat) x (example P i))).
Proof.
induction S as [|k IH]; intros Hstep Hd Hint; [simpl; ring|].
specialize (IH (fun s Hs => Hstep s (le_S _ _ Hs)) (fun s u Hs => Hd s u (le_S _ _ Hs))
              (fun s i Hs => Hint s i (le_S _ _ Hs))).
assert (Hk := Hstep k (le_n _)).
assert (E := one_step P (c k) (w k) x). simpl in E. rewrite -Hk in E.
specialize (E (fun u => Hd k u (le_n _)) (fun i => Hint k i (le_n _))).
rewrite Nat.add_1_r in E. rewrite E IH. simpl. rewrite !Nat.add_1_r. ring.
Qed.

Lemma scal_grad_loss (P : problem) (e : R) (v : Vec (dim P)) :
  scal e (grad_loss P v) = vsum (size P) (fun i => scal (e * dloss P v i) (grad_output P v (example P i))).
Proof.
unfold grad_loss. rewrite scal_vsum. apply vsum_ext; intros i _. apply (scal_assoc (K := R_AbsRing)).
Qed.

(* Gradient descent, at any learning rate eps. *)
Theorem E1 (P : problem) (eps : R) (w : nat -> Vec (dim P)) (S : nat) (x : Input P) :
  (forall s, (s < S)%nat -> w (s + 1)%nat = minus (w s) (scal eps (grad_loss P (w s)))) ->
  (forall s u, (s < S)%nat -> 0 <= u <= 1 -> is_grad (fun v => output P v x)
     (segment (w s) (w (s + 1)%nat) u) (grad_output P (segment (w s) (w (s + 1)%nat) u) x)) ->
  (forall s i, (s < S)%nat -> (i < size P)%nat ->
     ex_RInt (fun u => dot (grad_output P (segment (w s) (w (s + 1)%nat) u) x) (grad_output P (w s) (example P i)))
       0 1) ->
  output P (w S) x = output P (w O) x
    - eps * sum S (fun s => sum (size P) (fun i =>
        dloss P (w s) i * segment_kernel P (w s) (w (s + 1)%nat) x (example P i))).
Proof.
intros Hstep Hd Hint.
rewrite (E6 P (fun _ _ => eps) w S x
           (fun s Hs => eq_trans (Hstep s Hs) (f_equal (minus (w s)) (scal_grad_loss _ _ _))) Hd Hint).
f_equal. rewrite -sum_scal_l. apply sum_ext; intros s _. rewrite -sum_scal_l. apply sum_ext; intros i _. ring.
Qed.

(* The same with a learning rate for each step. *)
Theorem E7 (P : problem) (eps : nat -> R) (w : nat -> Vec (dim P)) (S : nat) (x : Input P) :
  (forall s, (s < S)%nat -> w (s + 1)%nat = minus (w s) (scal (eps s) (grad_loss P (w s)))) ->
  (forall s u, (s < S)%nat -> 0 <= u <= 1 -> is_grad (fun v => output P v x)
     (segment (w s) (w (s + 1)%nat) u) (grad_output P (segment (w s) (w (s + 1)%nat) u) x)) ->
  (forall s i, (s < S)%nat -> (i < size P)%nat ->
     ex_RInt (fun u => dot (grad_output P (segment (w s) (w (s + 1)%nat) u) x) (grad_output P (w s) (example P i)))
       0 1) ->
  output P (w S) x = output P (w O) x
    - sum S (fun s => eps s * sum (size P) (fun i =>
        dloss P (w s) i * segment_kernel P (w s) (w (s + 1)%nat) x (example P i))).
Proof.
intros Hstep Hd Hint.
rewrite (E6 P (fun s _ => eps s) w S x
           (fun s Hs => eq_trans (Hstep s Hs) (f_equal (minus (w s)) (scal_grad_loss _ _ _))) Hd Hint).
f_equal. apply sum_ext; intros s _. rewrite -sum_scal_l. apply sum_ext; intros i _. ring.
Qed.
